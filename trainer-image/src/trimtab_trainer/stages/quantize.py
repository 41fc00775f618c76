"""Stage quantize: static int8 of the pruned and of the dense model; what breaks the budget goes."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch
from typing_extensions import override

from trimtab_api.reports import CandidateReport
from trimtab_api.stages import StageName
from trimtab_api.v1alpha1.job import Spec
from trimtab_trainer.exporting.artifact import describe_file
from trimtab_trainer.quantization.calibration import choose_calibration_subset
from trimtab_trainer.quantization.onnx_qdq import quantize_static
from trimtab_trainer.reporting._base import StageProgress
from trimtab_trainer.stages._base import AbstractStage, Run, StageResult
from trimtab_trainer.stages._bench import Bench
from trimtab_trainer.stages._candidates import (
    add_candidate,
    file_path,
    restore_candidates,
    settle_lineage,
)
from trimtab_trainer.storage.patience import StorageTrouble, patiently

__all__ = ["QuantizeStage", "quantize_file"]

_BATCH = 64


def quantize_file(
    bench: Bench, *, spec: Spec, source: Path, target: Path, threads: int
) -> Generator[StorageTrouble | None, None, dict[str, Any]]:
    """Quantize an exported file with ranges from training samples; return file and details.

    Raises:
        UserError: The calibration samples give no usable ranges.
    """
    torch.set_num_threads(threads)
    settings = spec.stages.quantize
    if settings is None:
        raise ValueError("only a spec with stages.quantize can be quantized")
    calibration, split = settings.calibration, bench.data(spec).train
    subset = choose_calibration_subset(len(split), calibration.samples, spec.seed)
    yield None
    quantized = yield from patiently(
        lambda: quantize_static(
            source,
            target,
            batches=(split.batch(part)[0].numpy() for part in torch.split(subset.indices, _BATCH)),
            method=calibration.method,
            percentile=calibration.percentile,
            per_channel=settings.per_channel,
            threads=threads,
        )
    )
    details = {
        "layersQuantized": list(quantized.quantized_layers),
        "layersFloat": list(quantized.float_layers),
        "calibrationSamples": len(subset.indices),
        "calibrationDigest": subset.digest,
    }
    return {"file": describe_file(target), "details": details}


class QuantizeStage(AbstractStage):
    """Leaves one int8 candidate for each float model that is still in the running."""

    name = StageName.QUANTIZE

    @override
    def inputs(self, run: Run) -> dict[str, Any] | None:
        spec = run.final_spec
        if spec.stages.quantize is None:
            return None
        return {
            "parents": [parent.digest for parent in self._parents(run)],
            "quantize": spec.stages.quantize.model_dump(mode="json"),
            "constraints": [entry.model_dump(mode="json") for entry in spec.constraints],
        }

    def _parents(self, run: Run) -> list[CandidateReport]:
        """Return the float models that may ship, the smallest first."""
        floats = [
            entry for entry in run.candidates if entry.stage != self.name and entry.reason is None
        ]
        return floats[::-1]

    @override
    def run(self, run: Run) -> StageResult:
        parents = self._parents(run)
        made = []
        for index, parent in enumerate(parents):
            run.reporter.publish(
                StageProgress(self.name, index, len(parents), f"int8 of {parent.id}")
            )
            made.append(self._quantize(run, parent))
        # The first parent is the pruned model where there is one: its int8 copy is the line
        # that the ledger follows.
        accepted = [candidate for candidate in made if candidate.reason is None]
        if made[0].reason is None:
            settle_lineage(run, made[0])
        return StageResult(
            reason=None if accepted else made[0].reason,
            message="; ".join(
                f"{candidate.id} {candidate.rejected or 'accepted'}" for candidate in made
            ),
            artifact=(accepted or made)[0].artifact,
            metrics={"candidates": len(made), "accepted": len(accepted)},
            data={"candidates": [candidate.model_dump(mode="json") for candidate in made]},
        )

    def _quantize(self, run: Run, parent: CandidateReport) -> CandidateReport:
        name = f"{parent.id}-int8"
        quantized = run.call(
            quantize_file,
            spec=run.final_spec,
            source=run.context.root / parent.artifact,
            target=file_path(run, name),
        )
        static = {key: parent.metrics[key] for key in ("params", "flops")}
        return add_candidate(
            run,
            name=name,
            stage=self.name,
            parent=parent,
            file=quantized["file"],
            static=static,
            details=quantized["details"],
        )

    @override
    def restore(self, run: Run, data: dict[str, Any]) -> None:
        restore_candidates(run, data)
        first = run.candidates[-len(data["candidates"])]
        if first.reason is None:
            settle_lineage(run, first)
