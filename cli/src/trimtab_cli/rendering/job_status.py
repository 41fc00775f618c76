"""What `trimtab status` shows of a job: figures, stages, targets and conditions.

Called by the command, which hands in the time. The line per change is for logs, where a table that
redraws itself is of no use.
"""

from collections.abc import Iterator
from datetime import datetime

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from trimtab_api.stages import StageState
from trimtab_api.v1alpha1.conditions import ConditionType
from trimtab_api.v1alpha1.status import StageStatus, Status, TrialCounts
from trimtab_api.verdict import Verdict
from trimtab_api.wording import render_change, render_metric, render_seconds
from trimtab_cli.jobs import ClusterJob

__all__ = ["StatusDisplay", "describe_change", "print_status"]

_STYLES = {
    Verdict.GOALS_MET: "bold green",
    Verdict.GOALS_MISSED: "bold yellow",
    Verdict.FAILED: "bold red",
    Verdict.UNFINISHED: "bold",
}
_TITLES = {
    Verdict.GOALS_MET: "goals met",
    Verdict.GOALS_MISSED: "complete, goals missed",
    Verdict.FAILED: "failed",
}
_STAGE_STYLES = {
    StageState.RUNNING: "bold",
    StageState.FAILED: "red",
    StageState.WAITING: "dim",
    StageState.SKIPPED: "dim",
}
# Of these, False is the good news.
_BAD_WHEN_TRUE = {ConditionType.DEGRADED, ConditionType.FAILED}


def print_status(job: ClusterJob, now: datetime) -> None:
    """Print how a job stands."""
    Console(highlight=False, soft_wrap=True).print(_build_status(job, now))


def describe_change(job: ClusterJob) -> str:
    """Return how a job stands in one line."""
    status = job.status
    parts = [
        _name_state(job),
        f"stage {status.stage}" if status.stage else "",
        f"trials {status.trials.summary}" if status.trials else "",
        f"best {render_metric(job.metric, status.best.value)}" if status.best else "",
        status.message or "",
    ]
    return f"{job.name}: {', '.join(filter(None, parts))}"


class StatusDisplay:
    """Shows a job as it changes: redrawn on a terminal, a line per change elsewhere."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._live = Live(console=self._console, auto_refresh=False)
        self._last = ""

    def show(self, job: ClusterJob, now: datetime) -> None:
        """Show a job; in a log only what differs from the line before."""
        if self._console.is_terminal:
            self._live.start()
            self._live.update(_build_status(job, now), refresh=True)
            return
        line = describe_change(job)
        if line != self._last:
            self._console.print(Text(line))
            self._last = line

    def close(self) -> None:
        """Leave the terminal as it was, with the last picture on it."""
        self._live.stop()


def _build_status(job: ClusterJob, now: datetime) -> RenderableType:
    parts: list[RenderableType] = [_build_facts(job, now)]
    if job.status.stages:
        parts += [Text(), _build_stages(job.status, now)]
    if job.status.targets:
        parts += [Text(), _build_targets(job)]
    if job.status.conditions:
        parts += [Text(), _build_conditions(job.status)]
    hints = list(_list_hints(job))
    if hints:
        parts += [Text(), *(Text(hint, "dim") for hint in hints)]
    return Group(*parts)


def _name_state(job: ClusterJob) -> str:
    verdict = job.verdict()
    state = _TITLES.get(verdict) or str(job.status.state or "not seen by an operator yet")
    return state if job.is_current or job.status.state is None else f"{state} (an edit is pending)"


def _build_facts(job: ClusterJob, now: datetime) -> Table:
    status = job.status
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    title = f"{job.namespace}/{job.name}: {_name_state(job)}"
    rows: list[tuple[str, str]] = [
        ("attempt", str(status.attempt) if status.attempt else ""),
        ("running", _describe_time(status.start_time, status.completion_time, now)),
        ("workers", _describe_workers(status)),
        ("trials", _describe_trials(status.trials)),
        ("best", _describe_best(job)),
        ("budget", _describe_budget(job)),
        ("result", _describe_result(job)),
        ("failures", _describe_failures(status)),
        ("message", status.message or ""),
        ("storage", status.storage or ""),
    ]
    table.title = Text(title, _STYLES[job.verdict()])
    table.title_justify = "left"
    for name, value in rows:
        if value:
            table.add_row(name, value)
    return table


def _describe_workers(status: Status) -> str:
    cluster = status.cluster
    if cluster is None:
        return ""
    ready = f"{cluster.workers_ready or 0} of {cluster.workers_desired or 0} ready"
    return f"{ready}, RayJob {cluster.ray_job}" if cluster.ray_job else ready


def _describe_trials(trials: TrialCounts | None) -> str:
    if trials is None:
        return ""
    counts = {
        "running": trials.running,
        "succeeded": trials.succeeded,
        "stopped early": trials.stopped,
        "failed": trials.failed,
        "infeasible": trials.infeasible,
        "known before": trials.cached,
    }
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return f"{trials.summary}: {told}" if told else trials.summary


def _describe_best(job: ClusterJob) -> str:
    best = job.status.best
    if best is None:
        return ""
    return f"{job.metric} {render_metric(job.metric, best.value)} in trial {best.trial}"


def _describe_budget(job: ClusterJob) -> str:
    budget = job.status.budget
    if budget is None:
        return ""
    left, allowed = (
        render_change(budget.metric, value).lstrip("+")
        for value in (budget.remaining, budget.allowed)
    )
    return f"{left} of {allowed} left in {budget.metric}"


def _describe_result(job: ClusterJob) -> str:
    result = job.status.result
    if result is None:
        return ""
    parts = [
        f"{result.candidate}: {job.metric} {render_metric(job.metric, result.value)}",
        f"speedup {render_metric('speedup', result.speedup)}" if result.speedup else "",
        render_metric("size_mib", result.size_mib) if result.size_mib else "",
        result.artifact,
    ]
    return ", ".join(filter(None, parts))


def _describe_failures(status: Status) -> str:
    return "; ".join(
        f"{entry.count} {entry.failure_class} ({entry.last_message})" for entry in status.failures
    )


def _build_stages(status: Status, now: datetime) -> Table:
    table = _table("stage", "state", "time", "")
    for stage in status.stages:
        words = ": ".join(filter(None, (str(stage.reason or ""), stage.message)))
        table.add_row(
            stage.name,
            stage.state,
            _time_of_stage(stage, now),
            words,
            style=_STAGE_STYLES.get(stage.state, ""),
        )
    return table


def _build_targets(job: ClusterJob) -> Table:
    table = _table("target", "state", "ships", job.metric, "size", "p50", "speedup", "goals", "")
    for target in job.status.targets:
        names = (job.metric, "size_mib", "latency_p50_ms", "speedup")
        figures = [render_metric(name, target.metrics.get(name)) for name in names]
        goals = {True: "met", False: "missed", None: ""}[target.goals_met]
        table.add_row(
            target.name,
            target.state,
            target.candidate or "",
            *figures,
            goals,
            target.limiting_constraint or "",
        )
    return table


def _build_conditions(status: Status) -> Table:
    table = _table("condition", "status", "reason", "")
    for condition in status.conditions:
        good = "False" if condition.type in _BAD_WHEN_TRUE else "True"
        style = "" if condition.status == good else "yellow"
        table.add_row(
            condition.type, condition.status, condition.reason, condition.message, style=style
        )
    return table


def _list_hints(job: ClusterJob) -> Iterator[str]:
    if job.status.state is None:
        yield f"what may be missing: trimtab doctor -n {job.namespace}"
    if job.status.result is not None:
        yield f"all figures:   trimtab report {job.name} -n {job.namespace}"
        yield f"all artifacts: trimtab fetch {job.name} -n {job.namespace}"


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False, pad_edge=False)
    for name in columns[:-1]:
        table.add_column(name, no_wrap=True)
    table.add_column(columns[-1], overflow="fold")
    return table


def _time_of_stage(stage: StageStatus, now: datetime) -> str:
    running = stage.state is StageState.RUNNING
    end = stage.completion_time
    return _describe_time(stage.start_time, end, now) if end or running else ""


def _describe_time(start: str | None, end: str | None, now: datetime) -> str:
    """Return how long something has taken; empty where the times cannot be read."""
    try:
        begun = datetime.fromisoformat(start or "")
        until = datetime.fromisoformat(end) if end else now
        return render_seconds(max(0.0, (until - begun).total_seconds()))
    except (ValueError, TypeError):
        return ""
