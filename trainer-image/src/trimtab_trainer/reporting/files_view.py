"""What the HTML report says of the candidates' files: formats, types, figures, float layers. Pure.

Called by `html`. Each file was evaluated in its own runtime; what a target measured of them is
`candidate_table`'s.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trimtab_api.metrics import metric_key
from trimtab_api.reports import CandidateReport, FileReport, RunReport
from trimtab_api.v1alpha1.export import ExportFormat
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.wording import render_metric
from trimtab_trainer.reporting.technique_words import describe_candidate

__all__ = ["CandidateFiles", "FileRow", "list_candidate_files", "list_file_columns"]

_DASH = "\N{EN DASH}"
_NAMED = 12
_DIGEST_LETTERS = 12
_P50 = "latency_p50_ms"


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file of a candidate."""

    format: str
    artifact: str
    words: str
    """What is narrow in it."""
    cells: tuple[str, ...]
    digest: str
    """Its first letters; all of it is in the JSON report."""


@dataclass(frozen=True, slots=True)
class CandidateFiles:
    """A candidate and its files."""

    name: str
    words: str
    formats: str
    ships_for: str
    """Names of the targets that it ships for; empty where there are none."""
    files: tuple[FileRow, ...]
    notes: tuple[str, ...]
    """Which layers stay float."""


def list_file_columns(spec: Spec) -> tuple[str, ...]:
    """Return the heads of the cells of a file."""
    metric, first = spec.objectives[0].metric, spec.targets[0].name
    return ("size", "zstd", "weights", "activations", metric, f"p50 as on {first}", "largest error")


def list_candidate_files(report: RunReport, spec: Spec) -> list[CandidateFiles]:
    """Return the candidates with their files, the baseline first.

    Args:
        report: The run.
        spec: Its expanded spec.
    """
    return [_describe(report, spec, entry) for entry in report.candidates if entry.files]


def _describe(report: RunReport, spec: Spec, candidate: CandidateReport) -> CandidateFiles:
    ships_for = [
        target.name for target in report.status.targets if target.candidate == candidate.id
    ]
    return CandidateFiles(
        name=candidate.id,
        words=describe_candidate(spec, candidate, ExportFormat(candidate.format)),
        formats=", ".join(file.format for file in candidate.files),
        ships_for=", ".join(ships_for),
        files=tuple(_build_row(spec, candidate, file) for file in candidate.files),
        notes=tuple(_list_notes(candidate)),
    )


def _build_row(spec: Spec, candidate: CandidateReport, file: FileReport) -> FileRow:
    metric = spec.objectives[0].metric
    error = file.max_abs_error
    return FileRow(
        format=file.format,
        artifact=file.artifact,
        words=describe_candidate(spec, candidate, ExportFormat(file.format)),
        cells=(
            render_metric("size_mib", file.size_mib),
            render_metric("size_mib", file.size_compressed_mib),
            ", ".join(file.weight_dtypes) or _DASH,
            ", ".join(file.activation_dtypes) or _DASH,
            render_metric(metric, file.metrics.get(metric)),
            render_metric(_P50, _find_time(spec, candidate, file)),
            _DASH if error is None else f"{error:.1e}",
        ),
        digest=file.digest[:_DIGEST_LETTERS],
    )


def _find_time(spec: Spec, candidate: CandidateReport, file: FileReport) -> float | None:
    """Return the median under the first target's settings: noted at it, or its own measurement."""
    noted = file.metrics.get(_P50)
    if noted is None and file == candidate.files[0]:
        return candidate.metrics.get(metric_key(_P50, spec.targets[0].name))
    return noted


def _list_notes(candidate: CandidateReport) -> Iterator[str]:
    kept = list(candidate.details.get("keptFloat", ()))
    others = [name for name in candidate.details.get("layersFloat", ()) if name not in kept]
    if kept:
        yield f"Kept float so that limits hold: {_list(kept)}."
    if others:
        yield f"Float, since the technique does not apply or they were to stay so: {_list(others)}."


def _list(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
