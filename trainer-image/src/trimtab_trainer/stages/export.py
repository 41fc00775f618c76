"""Stage export: the formats that the manifest adds, proof that float files do what models do.

Files that targets run are written when a candidate is made, because gates look at exported files
only. Here the other formats follow, each float file is compared with its torch model, each file
with its hash, and `artifacts/manifest.json` is written last: a file that it does not list is not
published.
"""

from pathlib import Path
from typing import Any

from typing_extensions import override

from trimtab_api.reports import CandidateReport
from trimtab_api.stages import StageName, StageReason, StageState
from trimtab_api.techniques import plan_formats, plan_target_formats
from trimtab_api.v1alpha1.export import ExportFormat
from trimtab_trainer.errors import ExportFailedError
from trimtab_trainer.exporting.artifact import artifact_files, digest_artifact
from trimtab_trainer.reporting._base import StageProgress
from trimtab_trainer.stages._base import AbstractStage, Run, StageResult
from trimtab_trainer.stages._candidates import restore_candidates
from trimtab_trainer.stages._file_work import check_parity
from trimtab_trainer.stages._files import recipe_of, write_files
from trimtab_trainer.stages._manifest import write_manifest

__all__ = ["ExportStage"]


class ExportStage(AbstractStage):
    """Leaves all formats and the manifest of the artifacts."""

    name = StageName.EXPORT

    @override
    def inputs(self, run: Run) -> dict[str, Any] | None:
        return {
            "files": [candidate.digest for candidate in run.candidates],
            "export": run.spec.stages.export.model_dump(mode="json"),
        }

    @override
    def run(self, run: Run) -> StageResult:
        refused: list[str] = []
        for index, candidate in enumerate(run.candidates):
            run.reporter.publish(StageProgress(self.name, index, len(run.candidates), candidate.id))
            self._check_files(run, candidate)
            complete, missing = self._add_formats(run, candidate)
            refused += missing
            run.candidates[index] = self._compare(run, complete, refused)
        return self._result(run, refused, write_manifest(run))

    def _check_files(self, run: Run, candidate: CandidateReport) -> None:
        for file in candidate.files:
            path = run.context.root / file.artifact
            run.fetch(*artifact_files(path))
            found = digest_artifact(path)
            if found != file.digest:
                raise ExportFailedError(
                    f"{file.artifact} must have sha256 {file.digest} but has {found}"
                )

    def _add_formats(
        self, run: Run, candidate: CandidateReport
    ) -> tuple[CandidateReport, list[str]]:
        if candidate.reason is not None:  # it will hardly ship
            return candidate, []
        written = write_files(
            run,
            recipe_of(run, candidate),
            plan_formats(run.final_spec),
            there=[ExportFormat(file.format) for file in candidate.files],
        )
        files = (*candidate.files, *written.files)
        return candidate.model_copy(update={"files": files}), written.refused

    def _compare(self, run: Run, candidate: CandidateReport, refused: list[str]) -> CandidateReport:
        """Compare float files with their model; one that differs and no target uses is left out."""
        if candidate.stage == StageName.QUANTIZE:
            return candidate
        files = []
        for file in candidate.files:
            try:
                error: float = run.call(
                    check_parity,
                    spec=run.final_spec,
                    checkpoint=run.checkpoint_of(candidate.id),
                    path=run.context.root / file.artifact,
                )
            except ExportFailedError as failure:
                if file.format in plan_target_formats(run.final_spec):
                    raise
                refused.append(str(failure))
                continue
            files.append(file.model_copy(update={"max_abs_error": error}))
        return candidate.model_copy(update={"files": tuple(files)})

    def _result(self, run: Run, refused: list[str], manifest: Path) -> StageResult:
        files = [file for candidate in run.candidates for file in candidate.files]
        errors = {
            f"max_abs_error_{candidate.id}_{file.format}": file.max_abs_error
            for candidate in run.candidates
            for file in candidate.files
            if file.max_abs_error is not None
        }
        count = "1 file" if len(files) == 1 else f"{len(files)} files"
        message = f"{count}; float ones equal their models within {max(errors.values()):.1e}"
        return StageResult(
            state=StageState.FAILED if refused else StageState.SUCCEEDED,
            reason=StageReason.EXPORT_FAILED if refused else None,
            message="; ".join([*refused, message]),
            metrics=errors,
            artifact=run.context.relative(manifest),
            data={"candidates": [entry.model_dump(mode="json") for entry in run.candidates]},
        )

    @override
    def restore(self, run: Run, data: dict[str, Any]) -> None:
        run.candidates = []
        restore_candidates(run, data)
