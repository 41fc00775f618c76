"""The end of a run: one table per target and a verdict, from the report.

Called by `trimtab run`; the HTML report says the same at length.
"""

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trimtab_api.metrics import metric_key
from trimtab_api.reports import CandidateReport, RunReport
from trimtab_api.stages import StageReason
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import TargetStatus
from trimtab_api.verdict import Verdict, describe_pick, find_verdict
from trimtab_api.wording import render_change, render_metric

__all__ = ["name_rejection", "print_result"]

_TITLES = {
    Verdict.GOALS_MET: ("goals met", "bold green"),
    Verdict.GOALS_MISSED: ("complete, goals missed", "bold yellow"),
    Verdict.FAILED: ("failed", "bold red"),
    Verdict.UNFINISHED: ("unfinished", "bold"),
}
_TARGET_METRICS = ("size_mib", "latency_p50_ms", "speedup")


def print_result(report: RunReport, folder: Path) -> None:
    """Print what a run gave.

    Args:
        report: The run's.
        folder: The run folder, for the paths.
    """
    console = Console(highlight=False, soft_wrap=True)
    metric = Spec.model_validate(report.spec).objectives[0].metric
    for target in report.status.targets:
        if report.candidates:
            console.print(_build_table(report, target, metric))
    _print_rejections(console, report)
    verdict = find_verdict(report.status)
    title, style = _TITLES[verdict]
    console.print(Text(f"{report.name}: {title}", style))
    for target in report.status.targets:
        sentence = describe_pick(report, target, metric)
        if sentence:
            console.print(Text(sentence))
        if target.limiting_constraint and target.goals_met:
            console.print(Text(f"nearest limit: {target.limiting_constraint}"))
    if report.status.message and verdict is not Verdict.GOALS_MET:
        console.print(Text(report.status.message))
    if report.status.result:
        console.print(Text(f"artifact: {folder / report.status.result.artifact}"))
    console.print(Text(f"report:   {folder / 'report.html'}"))


def _build_table(report: RunReport, target: TargetStatus, metric: str) -> Table:
    table = Table(
        title=f"target {target.name}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0,
        show_edge=False,
    )
    table.add_column("candidate", no_wrap=True)
    for name in (metric, "change", "test", "size", "p50", "speedup"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for candidate in report.candidates:
        shipped = candidate.id == target.candidate
        # One word fits into 80 columns; the lines below the table say it in full.
        verdict = "ships" if shipped else name_rejection(candidate).partition(" ")[0]
        style = "bold" if shipped else ("dim" if candidate.rejected else "")
        figures = _figures(report, candidate, target.name, metric)
        table.add_row(candidate.id, *figures, verdict, style=style)
    return table


def _figures(report: RunReport, candidate: CandidateReport, target: str, metric: str) -> list[str]:
    value = candidate.metrics.get(metric)
    reference = report.baseline.metrics.get(metric) if report.baseline else None
    change = None if value is None or reference is None else value - reference
    own = [
        render_metric(name, candidate.metrics.get(metric_key(name, target)))
        for name in _TARGET_METRICS
    ]
    test = render_metric(metric, candidate.test_metrics.get(metric))
    return [render_metric(metric, value), render_change(metric, change), test, *own]


def _print_rejections(console: Console, report: RunReport) -> None:
    for candidate in report.candidates:
        if candidate.rejected:
            word = name_rejection(candidate)
            console.print(Text(f"{candidate.id} {word}: {candidate.rejected}", "dim"))


def name_rejection(candidate: CandidateReport) -> str:
    """Return in a word or three what keeps a candidate from shipping; empty where nothing does."""
    if candidate.rejected is None:
        return ""
    return "rejected" if candidate.reason is StageReason.NO_GAIN else "over the limit"
