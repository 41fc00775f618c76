"""The end of a run: one table per target and a verdict, from the report.

Called by `trimtab run`; the HTML report says the same at length.
"""

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trimtab_api.metrics import KNOWN_METRICS, metric_key
from trimtab_api.reports import CandidateReport, ChoiceOutcome, RunReport
from trimtab_api.v1alpha1.goals import TargetDevice
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import TargetStatus
from trimtab_api.verdict import (
    Verdict,
    describe_pick,
    describe_unreached_goal,
    find_outcome,
    find_verdict,
)
from trimtab_api.wording import name_outcome, name_rejection, render_change, render_metric

__all__ = ["print_result"]

_TITLES = {
    Verdict.GOALS_MET: ("goals met", "bold green"),
    Verdict.GOALS_MISSED: ("complete, goals missed", "bold yellow"),
    Verdict.FAILED: ("failed", "bold red"),
    Verdict.UNFINISHED: ("unfinished", "bold"),
}
# One word each, so that a row fits into 80 columns; the lines below the table say it in full.
_WORDS = {
    ChoiceOutcome.SHIPS: "ships",
    ChoiceOutcome.FEASIBLE: "",
    ChoiceOutcome.OVER_LIMIT: "over",
    ChoiceOutcome.REJECTED: "rejected",
    ChoiceOutcome.UNMEASURED: "no time",
    ChoiceOutcome.UNBUILT: "no file",
}
_STYLES = {ChoiceOutcome.SHIPS: "bold", ChoiceOutcome.FEASIBLE: "", ChoiceOutcome.OVER_LIMIT: ""}
_TARGET_METRICS = ("size_mib", "latency_p50_ms", "speedup")


def print_result(report: RunReport, folder: Path) -> None:
    """Print what a run gave.

    Args:
        report: The run's.
        folder: The run folder, for the paths.
    """
    console = Console(highlight=False, soft_wrap=True)
    spec = Spec.model_validate(report.spec)
    metric = spec.objectives[0].metric
    devices = {target.name: target.device for target in spec.targets}
    for target in report.status.targets:
        if report.candidates:
            wanted = devices.get(target.name)
            console.print(_build_table(report, target, metric, wanted=wanted))
    _print_rejections(console, report)
    verdict = find_verdict(report.status)
    title, style = _TITLES[verdict]
    unreached = describe_unreached_goal(report)
    console.print(Text(f"{report.name}: {title}" + (f"; {unreached}" if unreached else ""), style))
    for target in report.status.targets:
        sentence = describe_pick(report, target, metric)
        if sentence:
            console.print(Text(sentence))
        if target.limiting_constraint and target.goals_met:
            console.print(Text(f"nearest limit: {target.limiting_constraint}"))
    if report.status.message and verdict is not Verdict.GOALS_MET:
        console.print(Text(report.status.message))
    shipped = dict.fromkeys(target.artifact for target in report.status.targets if target.artifact)
    for artifact in shipped:
        console.print(Text(f"artifact: {folder / artifact}"))
    console.print(Text(f"report:   {folder / 'report.html'}"))


def _build_table(
    report: RunReport, target: TargetStatus, metric: str, *, wanted: TargetDevice | None
) -> Table:
    is_stand_in = None not in {target.device, wanted} and target.device is not wanted
    measured = f", measured on {target.device} in place of {wanted}" if is_stand_in else ""
    table = Table(
        title=f"target {target.name}{measured}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0,
        show_edge=False,
    )
    known = KNOWN_METRICS.get(metric)
    change = "points" if known is not None and known.unit == "fraction" else "change"
    table.add_column("candidate", no_wrap=True)
    for name in (metric, change, "test", "size", "p50", "speedup"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for candidate in report.candidates:
        outcome = find_outcome(report, candidate, target)
        figures = _figures(report, candidate, target.name, metric)
        table.add_row(candidate.id, *figures, _WORDS[outcome], style=_STYLES.get(outcome, "dim"))
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
    # The head says that a change is in points.
    shown = render_change(metric, change).removesuffix(" points")
    return [render_metric(metric, value), shown, test, *own]


def _print_rejections(console: Console, report: RunReport) -> None:
    lines = [
        f"{choice.candidate} {name_outcome(choice.outcome)} on {choice.target}: {choice.text}"
        for choice in report.choices
        if choice.outcome in {ChoiceOutcome.OVER_LIMIT, ChoiceOutcome.REJECTED}
    ]
    if not report.choices:
        lines = [
            f"{candidate.id} {name_rejection(candidate)}: {candidate.rejected}"
            for candidate in report.candidates
            if candidate.rejected
        ]
    for line in lines:
        console.print(Text(line, "dim"))
