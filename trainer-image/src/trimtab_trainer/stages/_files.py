"""The files of a candidate: one per format, each written, evaluated and looked into.

The driver's side of it; `_candidates` calls it for what targets run, stage export for the formats
that the manifest adds. A format that refuses a network is named, and the others go on.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trimtab_api.reports import CandidateReport, FileReport
from trimtab_api.stages import StageName
from trimtab_api.techniques import Technique, can_run, name_candidate, plan_techniques
from trimtab_api.v1alpha1.export import ExportFormat
from trimtab_api.v1alpha1.goals import TargetDevice
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.quantize import QuantizeMethod
from trimtab_trainer.errors import (
    CalibrationInvalidError,
    ExportFailedError,
    OperatorUnsupportedError,
    TrainerError,
)
from trimtab_trainer.exporting.artifact import ExportedFile
from trimtab_trainer.stages._base import Run
from trimtab_trainer.stages._file_work import convert_file, evaluate_file, export_network
from trimtab_trainer.stages._quantize_work import Limits, quantize_file

__all__ = ["Recipe", "WrittenFiles", "file_path", "recipe_of", "write_files"]

_SUFFIXES = {
    ExportFormat.ONNX: ".onnx",
    ExportFormat.PT2: ".pt2",
    ExportFormat.OPENVINO: ".xml",
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a candidate's files are made of."""

    name: str
    """Id of the candidate."""
    parent: str
    """Id of the float candidate with the same network; its own where it is one."""
    technique: Technique | None = None
    """None: float."""


@dataclass(slots=True)
class WrittenFiles:
    """What came of it."""

    files: list[FileReport] = field(default_factory=list)
    test_metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    """By format."""
    details: dict[str, Any] = field(default_factory=dict)
    """How a technique was applied."""
    errors: list[TrainerError] = field(default_factory=list)
    """Why a format is missing."""

    @property
    def refused(self) -> list[str]:
        """Return the errors in words."""
        return [str(error) for error in self.errors]


def recipe_of(run: Run, candidate: CandidateReport) -> Recipe:
    """Return what a candidate was made of."""
    if candidate.stage != StageName.QUANTIZE:
        return Recipe(candidate.id, candidate.id)
    techniques = plan_techniques(run.final_spec, linear_share=run.linear_share)
    parent = candidate.parent or ""
    technique = next(entry for entry in techniques if name_candidate(parent, entry) == candidate.id)
    return Recipe(candidate.id, parent, technique)


def file_path(run: Run, name: str, form: ExportFormat) -> Path:
    """Return where the file of a candidate goes."""
    return run.context.artifacts / f"{name}{_SUFFIXES[form]}"


def write_files(
    run: Run,
    recipe: Recipe,
    formats: Sequence[ExportFormat],
    *,
    there: Collection[ExportFormat] = (),
) -> WrittenFiles:
    """Write, evaluate and describe a candidate's files in these formats.

    A format in which the technique does not exist is left out in silence; one that refuses the
    network is named.

    Args:
        run: The run.
        recipe: What the files are made of.
        formats: Those that are wanted.
        there: Those that the candidate has already.
    """
    written = WrittenFiles()
    for form in _formats_to_write(recipe, formats, there):
        try:
            file = _write(run, recipe, form, written, there)
            written.files.append(_describe(run, form, file, written))
        except (ExportFailedError, OperatorUnsupportedError, CalibrationInvalidError) as error:
            written.errors.append(error)
            run.warn(f"{recipe.name} has no {form} file: {error}")
    order = {form: position for position, form in enumerate(formats)}
    written.files.sort(key=lambda file: order.get(ExportFormat(file.format), len(order)))
    return written


def _formats_to_write(
    recipe: Recipe, formats: Sequence[ExportFormat], there: Collection[ExportFormat]
) -> list[ExportFormat]:
    technique = recipe.technique
    wanted = [
        form for form in formats if technique is None or can_run(technique, form, TargetDevice.CPU)
    ]
    # OpenVINO's files are made of ONNX ones, which are then published, too.
    if ExportFormat.OPENVINO in wanted and not _is_cast(technique):
        wanted.insert(0, ExportFormat.ONNX)
    wanted.sort(key=lambda form: form is ExportFormat.OPENVINO)
    return [form for form in dict.fromkeys(wanted) if form not in there]


def _is_cast(technique: Technique | None) -> bool:
    return technique is not None and technique.method is QuantizeMethod.CAST


def _write(
    run: Run,
    recipe: Recipe,
    form: ExportFormat,
    written: WrittenFiles,
    there: Collection[ExportFormat],
) -> ExportedFile:
    spec, path = run.final_spec, file_path(run, recipe.name, form)
    technique = recipe.technique.in_format(form) if recipe.technique else None
    if form is ExportFormat.OPENVINO:
        _refuse_kept_layers(recipe, spec)
        own = [*there, *(file.format for file in written.files)]
        source = (
            _require_onnx(run, recipe.parent, _formats_of(run, recipe.parent))
            if _is_cast(technique)
            else _require_onnx(run, recipe.name, own)
        )
        converted: ExportedFile = run.call(
            convert_file, source=source, technique=technique, path=path
        )
        return converted
    if technique is None or form is ExportFormat.PT2:
        exported: ExportedFile = run.call(
            export_network,
            spec=spec,
            checkpoint=run.checkpoint_of(recipe.parent),
            technique=technique,
            form=form,
            path=path,
        )
        return exported
    made = run.call(
        quantize_file,
        spec=spec,
        checkpoint=run.checkpoint_of(recipe.parent),
        technique=technique,
        source=_require_onnx(run, recipe.parent, _formats_of(run, recipe.parent)),
        path=path,
        limits=Limits(spec, run.baseline.metrics if run.baseline else {}, run.require_ledger()),
    )
    written.details.update(made["details"])
    file: ExportedFile = made["file"]
    return file


def _refuse_kept_layers(recipe: Recipe, spec: Spec) -> None:
    if _is_cast(recipe.technique) and spec.stages.quantize and spec.stages.quantize.keep_float:
        raise ExportFailedError(
            "openvino stores the weights of all layers in 16 bits, which quantize.keepFloat forbids"
        )


def _formats_of(run: Run, name: str) -> list[str]:
    return [file.format for entry in run.candidates if entry.id == name for file in entry.files]


def _require_onnx(run: Run, name: str, formats: Collection[str]) -> Path:
    """Return a candidate's ONNX file; one that only lies there is of another network."""
    if ExportFormat.ONNX not in formats:
        raise ExportFailedError(f"{name} has no onnx file that another could be made of")
    return file_path(run, name, ExportFormat.ONNX)


def _describe(
    run: Run, form: ExportFormat, file: ExportedFile, written: WrittenFiles
) -> FileReport:
    found = run.call(evaluate_file, spec=run.final_spec, path=file.path)
    written.test_metrics[form] = found["test"]
    return FileReport(
        format=form,
        artifact=run.context.relative(file.path),
        digest=file.sha256,
        size_mib=file.size_mib,
        size_compressed_mib=file.size_compressed_mib,
        metrics=found["validation"],
        weight_dtypes=found["weights"],
        activation_dtypes=found["activations"],
    )
