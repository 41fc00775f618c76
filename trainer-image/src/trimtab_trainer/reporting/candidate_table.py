"""The table of candidates of the HTML report: one row each, figures against the baseline. Pure.

Called by `target_view` for each target.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from trimtab_api.metrics import KNOWN_METRICS, metric_key
from trimtab_api.reports import CandidateReport, ChoiceOutcome, RunReport
from trimtab_api.v1alpha1.export import ExportFormat
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import TargetStatus
from trimtab_api.verdict import find_outcome
from trimtab_api.wording import name_outcome, render_change, render_metric, render_share
from trimtab_trainer.reporting.choice_view import has_choices
from trimtab_trainer.reporting.technique_words import describe_candidate

__all__ = ["CandidateRow", "Cell", "Column", "build_row", "list_columns"]

_MINUS = "\N{MINUS SIGN}"
# A share smaller than this is not worth a line under its figure.
_VISIBLE = 0.005
_MEASURED = {
    "size_mib": "size",
    "size_compressed_mib": "zstd",
    "latency_p50_ms": "p50",
    "latency_p95_ms": "p95",
    "speedup": "speedup",
    "throughput_per_s": "samples",
    "memory_mib": "memory",
}
_SHORT_UNITS = {"fraction": "%", "1/s": "/s", "count": "", "ratio": "", "nats": ""}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table of candidates."""

    label: str
    unit: str
    """Stands in the head, so that the figures stay narrow."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure of the table of candidates."""

    text: str
    note: str = ""
    """What it is against the baseline."""


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """A candidate in the table."""

    name: str
    origin: str
    cells: tuple[Cell, ...]
    outcome: ChoiceOutcome
    rejected: str
    """Why it should not ship, and in which sense; empty where it may, and once choices say it."""


def list_columns(metric: str) -> Iterator[Column]:
    """Yield the columns of the table.

    Args:
        metric: The primary metric.
    """
    unit = _short_unit(metric)
    yield Column(metric, unit)
    yield Column("change", "points" if unit == "%" else unit)
    yield Column("test", unit)
    yield Column("FLOPs", "")
    yield Column("params", "")
    for name, label in _MEASURED.items():
        yield Column(label, _short_unit(name))


def _short_unit(metric: str) -> str:
    known = KNOWN_METRICS.get(metric)
    return _SHORT_UNITS.get(known.unit, known.unit) if known else ""


def build_row(
    report: RunReport,
    spec: Spec,
    candidate: CandidateReport,
    target: TargetStatus,
    file_format: ExportFormat,
) -> CandidateRow:
    """Return a candidate's row, its figures without the units that the head has.

    Args:
        report: The run.
        spec: Its expanded spec.
        candidate: One of its candidates.
        target: Where it was measured.
        file_format: What the target's runtime takes.
    """
    metric = spec.objectives[0].metric
    outcome = find_outcome(report, candidate, target)
    cells = _cells(report, candidate, target.name, metric)
    return CandidateRow(
        name=candidate.id,
        origin=describe_candidate(spec, candidate, _find_format(candidate, file_format)),
        cells=tuple(
            Cell(_strip_unit(cell.text, column), cell.note)
            for cell, column in zip(cells, list_columns(metric), strict=True)
        ),
        outcome=outcome,
        rejected=""
        if candidate.rejected is None or has_choices(report, target)
        else f"{name_outcome(outcome)}: {candidate.rejected}",
    )


def _strip_unit(text: str, column: Column) -> str:
    # The head of throughput is read as one: samples /s.
    return text.removesuffix(f" {column.label}{column.unit}").removesuffix(f" {column.unit}")


def _find_format(candidate: CandidateReport, wanted: ExportFormat) -> ExportFormat:
    known = [file.format for file in candidate.files]
    return wanted if wanted in known else ExportFormat(candidate.format)


def _cells(
    report: RunReport, candidate: CandidateReport, target: str, metric: str
) -> Iterator[Cell]:
    before = report.baseline.metrics if report.baseline else {}
    metrics = candidate.metrics
    value, reference = metrics.get(metric), before.get(metric)
    yield Cell(render_metric(metric, value))
    yield Cell(
        render_change(metric, None if value is None or reference is None else value - reference)
    )
    yield Cell(render_metric(metric, candidate.test_metrics.get(metric)))
    yield Cell(render_metric("flops", metrics.get("flops")), _reduction("flops", metrics, before))
    yield Cell(
        render_metric("params", metrics.get("params")), _reduction("params", metrics, before)
    )
    for name in _MEASURED:
        key = metric_key(name, target)
        note = _reduction(key, metrics, before) if name.startswith("size") else ""
        yield Cell(render_metric(name, metrics.get(key)), note)


def _reduction(key: str, after: Mapping[str, float], before: Mapping[str, float]) -> str:
    if not before.get(key) or key not in after:
        return ""
    share = after[key] / before[key] - 1
    if abs(share) < _VISIBLE:
        return ""
    return f"{'+' if share > 0 else _MINUS}{render_share(abs(share))}"
