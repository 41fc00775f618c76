"""Stage export: proof that the files do what the models do, and their manifest.

Files are written when a candidate is made, because gates look at exported files only. Here each
float file is compared with its torch model, each file with its hash, and `artifacts/manifest.json`
is written last: a file that it does not list is not published.
"""

from typing import Any

from typing_extensions import override

from trimtab_api.reports import CandidateReport
from trimtab_api.stages import StageName
from trimtab_trainer.errors import ExportFailedError
from trimtab_trainer.reporting._base import StageProgress
from trimtab_trainer.stages._base import AbstractStage, Run, StageResult
from trimtab_trainer.stages._candidates import DENSE
from trimtab_trainer.stages._work import check_parity
from trimtab_trainer.storage.filesystem import write_json
from trimtab_trainer.storage.hashes import sha256_file

__all__ = ["ExportStage"]

_MANIFEST = "manifest.json"


class ExportStage(AbstractStage):
    """Leaves the manifest of the artifacts."""

    name = StageName.EXPORT

    @override
    def inputs(self, run: Run) -> dict[str, Any] | None:
        return {
            "files": [candidate.digest for candidate in run.candidates],
            "export": run.spec.stages.export.model_dump(mode="json"),
        }

    @override
    def run(self, run: Run) -> StageResult:
        errors: dict[str, float] = {}
        for index, candidate in enumerate(run.candidates):
            run.reporter.publish(StageProgress(self.name, index, len(run.candidates), candidate.id))
            self._check_file(run, candidate)
            if candidate.stage != StageName.QUANTIZE:
                errors[candidate.id] = self._check_parity(run, candidate)
        manifest = run.context.artifacts / _MANIFEST
        document = self._manifest(run, errors)
        run.store(lambda: write_json(manifest, document))
        return StageResult(
            message=f"{len(run.candidates)} files; float ones equal their models"
            f" within {max(errors.values()):.1e}",
            metrics={f"max_abs_error_{name}": error for name, error in errors.items()},
            artifact=run.context.relative(manifest),
        )

    def _check_file(self, run: Run, candidate: CandidateReport) -> None:
        found = sha256_file(run.context.root / candidate.artifact)
        if found != candidate.digest:
            raise ExportFailedError(
                f"{candidate.artifact} must have sha256 {candidate.digest} but has {found}"
            )

    def _check_parity(self, run: Run, candidate: CandidateReport) -> float:
        checkpoint = run.checkpoint if candidate.id == DENSE else run.pruned_checkpoint
        parity = run.call(
            check_parity,
            spec=run.final_spec,
            checkpoint=checkpoint,
            path=run.context.root / candidate.artifact,
        )
        return float(parity["max_abs_error"])

    def _manifest(self, run: Run, errors: dict[str, float]) -> dict[str, Any]:
        return {
            "job": run.context.name,
            "fingerprint": run.context.fingerprint,
            "input": "decoded images, float32 in 0…1, N×C×H×W with any N"
            if run.job.spec.dataset.entrypoint is None
            else "tensors as the data set's entry point gives them, any batch",
            "artifacts": [
                {
                    "file": candidate.artifact.rpartition("/")[2],
                    "sha256": candidate.digest,
                    "format": candidate.format,
                    "candidate": candidate.id,
                    "rejected": candidate.rejected,
                    "maxAbsError": errors.get(candidate.id),
                    "metrics": candidate.metrics,
                }
                for candidate in run.candidates
            ],
        }

    @override
    def restore(self, run: Run, data: dict[str, Any]) -> None:
        """Nothing: later stages use the files alone."""
