"""Stage quantize: every technique of the targets on every float model; what breaks limits goes.

Which techniques there are is `trimtab_api.techniques`'; how a file of one comes to be is
`_files` and `_quantize_work`. Each copy is measured beside the model that it was made from.
"""

from typing import Any

from typing_extensions import override

from trimtab_api.reports import CandidateReport
from trimtab_api.stages import StageName, StageReason, StageState
from trimtab_api.techniques import name_candidate, plan_candidates, plan_techniques
from trimtab_api.v1alpha1.quantize import QuantizeMethod
from trimtab_trainer.errors import (
    CalibrationInvalidError,
    ExportFailedError,
    OperatorUnsupportedError,
)
from trimtab_trainer.reporting._base import StageProgress
from trimtab_trainer.stages._base import AbstractStage, Run, StageResult
from trimtab_trainer.stages._candidates import (
    add_candidate,
    restore_candidates,
    settle_lineage,
)
from trimtab_trainer.stages._files import Recipe

__all__ = ["QuantizeStage"]

_UNBUILT = {
    CalibrationInvalidError: StageReason.CALIBRATION_INVALID,
    OperatorUnsupportedError: StageReason.OPERATOR_UNSUPPORTED,
    ExportFailedError: StageReason.EXPORT_FAILED,
}


class QuantizeStage(AbstractStage):
    """Leaves a candidate for each technique of each float model that is still in the running."""

    name = StageName.QUANTIZE

    @override
    def inputs(self, run: Run) -> dict[str, Any] | None:
        spec = run.final_spec
        if spec.stages.quantize is None:
            return None
        return {
            "recipes": [recipe.name for recipe in self._recipes(run)],
            "parents": [parent.digest for parent in self._parents(run)],
            "quantize": spec.stages.quantize.model_dump(mode="json"),
            "targets": [target.model_dump(mode="json") for target in spec.targets],
            "constraints": [entry.model_dump(mode="json") for entry in spec.constraints],
        }

    def _parents(self, run: Run) -> list[CandidateReport]:
        """Return the float models that may ship, the smallest first."""
        floats = [
            entry for entry in run.candidates if entry.stage != self.name and entry.reason is None
        ]
        return floats[::-1]

    def _recipes(self, run: Run) -> list[Recipe]:
        """Return what is built, that of the smallest model first."""
        spec, share = run.final_spec, run.linear_share
        planned = plan_candidates(spec, linear_share=share)
        recipes = [
            Recipe(name_candidate(parent.id, technique), parent.id, technique)
            for parent in self._parents(run)
            for technique in plan_techniques(spec, linear_share=share)
        ]
        return [recipe for recipe in recipes if recipe.name in planned]

    @override
    def run(self, run: Run) -> StageResult:
        recipes = self._recipes(run)
        if not recipes:
            return StageResult(
                state=StageState.SKIPPED,
                reason=StageReason.BY_PROFILE,
                message="no target's runtime takes a technique of its profile",
            )
        made: list[CandidateReport] = []
        unbuilt: list[tuple[StageReason, str]] = []
        for index, recipe in enumerate(recipes):
            run.reporter.publish(StageProgress(self.name, index, len(recipes), recipe.name))
            try:
                made.append(add_candidate(run, recipe, stage=self.name))
            except tuple(_UNBUILT) as error:
                unbuilt.append((_UNBUILT[type(error)], f"{recipe.name}: {error}"))
        return self._result(run, made, unbuilt)

    def _result(
        self, run: Run, made: list[CandidateReport], unbuilt: list[tuple[StageReason, str]]
    ) -> StageResult:
        accepted = [candidate for candidate in made if candidate.reason is None]
        messages = [f"{entry.id} {entry.rejected or 'accepted'}" for entry in made]
        messages += [text for _, text in unbuilt]
        # The first recipe is of the pruned model where there is one: it is the line that the
        # ledger follows.
        if accepted:
            settle_lineage(run, accepted[0])
        return StageResult(
            state=StageState.SUCCEEDED if made else StageState.FAILED,
            reason=_find_reason(made, accepted, unbuilt),
            message="; ".join(messages),
            artifact=(accepted or made)[0].artifact if made else None,
            metrics={"candidates": len(made), "accepted": len(accepted)},
            data={"candidates": [candidate.model_dump(mode="json") for candidate in made]},
        )

    @override
    def restore(self, run: Run, data: dict[str, Any]) -> None:
        restore_candidates(run, data)
        made = run.candidates[len(run.candidates) - len(data.get("candidates", [])) :]
        accepted = [candidate for candidate in made if candidate.reason is None]
        if accepted:
            settle_lineage(run, accepted[0])


def _find_reason(
    made: list[CandidateReport],
    accepted: list[CandidateReport],
    unbuilt: list[tuple[StageReason, str]],
) -> StageReason | None:
    if not made:
        return unbuilt[0][0]
    if not accepted:
        return made[0].reason
    return StageReason.LAYERS_KEPT_FLOAT if any(map(_kept_float, accepted)) else None


def _kept_float(candidate: CandidateReport) -> bool:
    """Return whether layers stay float that the technique is meant for; Dynamic leaves many out."""
    details = candidate.details
    return bool(details.get("layersFloat")) and details.get("method") != QuantizeMethod.DYNAMIC
