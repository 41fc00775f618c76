"""The baseline: the dense model exported and measured, before anything is compressed.

No stage of its own: the pipeline runs it between train and prune, also where train is not asked
for and the given weights are compressed as they are.
"""

from typing import Any

from typing_extensions import override

from trimtab_api.stages import StageName
from trimtab_api.techniques import DENSE
from trimtab_trainer.reporting._base import StageProgress
from trimtab_trainer.stages._base import AbstractStage, Run, StageResult
from trimtab_trainer.stages._candidates import add_candidate, restore_candidates
from trimtab_trainer.stages._files import Recipe
from trimtab_trainer.training.checkpoint import read_digest

__all__ = ["Baseline"]


class Baseline(AbstractStage):
    """Leaves the dense candidate and opens the ledger."""

    name = StageName.TRAIN

    @property
    @override
    def entry(self) -> str:
        return "baseline"

    @override
    def inputs(self, run: Run) -> dict[str, Any]:
        spec = run.final_spec
        return {
            "checkpoint": read_digest(run.checkpoint) if run.checkpoint else None,
            "model": spec.model.model_dump(mode="json"),
            "digest": run.require_facts().digest,
            "opset": spec.stages.export.opset,
            "task": spec.task.model_dump(mode="json"),
            "targets": [target.model_dump(mode="json") for target in spec.targets],
        }

    @override
    def run(self, run: Run) -> StageResult:
        run.reporter.publish(StageProgress(self.name, 1, 1, "exporting and measuring the baseline"))
        dense = add_candidate(run, Recipe(DENSE, DENSE), stage=self.name)
        return StageResult(
            artifact=dense.artifact, data={"candidates": [dense.model_dump(mode="json")]}
        )

    @override
    def restore(self, run: Run, data: dict[str, Any]) -> None:
        restore_candidates(run, data)
