"""What the HTML report says of all targets side by side, and how it names one. Pure.

Called by `html` for more than one target; `target_view` has the rest of each.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from trimtab_api.metrics import metric_key
from trimtab_api.reports import RunReport
from trimtab_api.v1alpha1.goals import Target
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import TargetState, TargetStatus
from trimtab_api.verdict import shipped_for
from trimtab_api.wording import render_metric
from trimtab_trainer.reporting.technique_words import DEVICES, RUNTIMES
from trimtab_trainer.reporting.trial_words import count_things

__all__ = ["TargetRow", "describe_device", "describe_target", "find_target", "list_target_rows"]

_FIGURES = ("size_mib", "latency_p50_ms", "speedup")


@dataclass(frozen=True, slots=True)
class TargetRow:
    """A target in the table of all."""

    name: str
    runs_on: str
    device: str
    """Where it was measured, where that is not the target's device; else empty."""
    ships: str
    figures: tuple[str, ...]
    """The primary metric, size, median and speedup of what ships."""
    verdict: str
    tone: str
    """A CSS class."""


def find_target(spec: Spec, name: str) -> Target:
    """Return the target of a name."""
    return next(entry for entry in spec.targets if entry.name == name)


def describe_target(target: Target) -> str:
    """Return what runs a target's file, and how: `ONNX Runtime on CPU, 2 threads, batch 1`."""
    parts = []
    if target.runtime and target.device:
        parts.append(f"{RUNTIMES[target.runtime]} on {DEVICES[target.device]}")
    if target.threads:
        parts.append(count_things(target.threads, "thread"))
    if target.batch_size:
        parts.append(f"batch {target.batch_size}")
    return ", ".join(parts)


def describe_device(target: Target, status: TargetStatus) -> str:
    """Return what a target was measured on where that is not its own device; else nothing."""
    if status.device is None or status.device is target.device:
        return ""
    return f"measured on {DEVICES[status.device]} as a stand-in"


def list_target_rows(report: RunReport, spec: Spec) -> list[TargetRow]:
    """Return a row per target.

    Args:
        report: The run.
        spec: Its expanded spec.
    """
    return [_build_row(report, spec, status) for status in report.status.targets]


def _build_row(report: RunReport, spec: Spec, status: TargetStatus) -> TargetRow:
    target = find_target(spec, status.name)
    verdict, tone = _judge(status)
    return TargetRow(
        name=status.name,
        runs_on=describe_target(target),
        device=describe_device(target, status),
        ships=status.candidate or "\N{EN DASH}",
        figures=tuple(_list_figures(report, spec, status)),
        verdict=verdict,
        tone=tone,
    )


def _judge(status: TargetStatus) -> tuple[str, str]:
    if status.state is TargetState.UNMEASURED:
        return "not measured", "warn"
    if status.state is TargetState.WAITING:
        return "waiting", "open"
    return ("limits kept", "good") if status.goals_met else ("limit missed", "warn")


def _list_figures(report: RunReport, spec: Spec, status: TargetStatus) -> Iterator[str]:
    shipped = shipped_for(report, status)
    metrics = shipped.metrics if shipped else {}
    metric = spec.objectives[0].metric
    yield render_metric(metric, metrics.get(metric))
    for name in _FIGURES:
        yield render_metric(name, metrics.get(metric_key(name, status.name)))
