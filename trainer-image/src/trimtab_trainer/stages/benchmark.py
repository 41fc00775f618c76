"""Stage benchmark: the final run side by side, on every target, and the last verdicts."""

from typing import Any

from typing_extensions import override

from trimtab_api.reports import CandidateReport
from trimtab_api.selection import pick_candidate
from trimtab_api.stages import StageName
from trimtab_trainer.reporting._base import CandidateMeasured, StageProgress
from trimtab_trainer.stages._base import AbstractStage, Run, StageResult
from trimtab_trainer.stages._candidates import (
    DENSE,
    judge,
    measure_side_by_side,
    restore_candidates,
    set_baseline,
    settle_lineage,
)

__all__ = ["BenchmarkStage"]

# Above this share of waiting for a CPU, latencies say more about the neighbours than the model.
_CONTENDED = 0.1


class BenchmarkStage(AbstractStage):
    """Leaves the final figures of every candidate."""

    name = StageName.BENCHMARK

    @override
    def inputs(self, run: Run) -> dict[str, Any] | None:
        spec = run.spec
        return {
            "files": [candidate.digest for candidate in run.candidates],
            "targets": [target.model_dump(mode="json") for target in spec.targets],
            "constraints": [entry.model_dump(mode="json") for entry in spec.constraints],
            "benchmark": spec.stages.benchmark.model_dump(mode="json"),
        }

    @override
    def run(self, run: Run) -> StageResult:
        run.reporter.publish(
            StageProgress(self.name, 0, 1, f"{len(run.candidates)} files side by side")
        )
        measured = measure_side_by_side(run, run.candidates)
        by_name = {candidate.id: candidate for candidate in measured}
        set_baseline(run, by_name[DENSE])
        run.candidates = [
            judge(run, candidate, parent=by_name.get(candidate.parent or ""))
            for candidate in measured
        ]
        for candidate in run.candidates:
            run.reporter.publish(CandidateMeasured(candidate))
        self._warn_of_contention(run)
        shipped = self._finish(run)
        return StageResult(
            message=f"{shipped.id} ships for {run.spec.targets[0].name}",
            artifact=shipped.artifact,
            metrics={
                key: value
                for key, value in shipped.metrics.items()
                if key.startswith(("speedup", "latency_p50_ms", "size_mib"))
            },
            data={"candidates": [entry.model_dump(mode="json") for entry in run.candidates]},
        )

    def _finish(self, run: Run) -> CandidateReport:
        """Settle the ledger on what ships for the first target."""
        baseline = run.baseline.metrics if run.baseline else {}
        pick = pick_candidate(run.candidates, baseline, run.spec, run.spec.targets[0])
        settle_lineage(run, pick.candidate)
        run.measured = True
        return pick.candidate

    def _warn_of_contention(self, run: Run) -> None:
        shares = [
            value
            for candidate in run.candidates
            for key, value in candidate.metrics.items()
            if key.startswith("contention")
        ]
        if shares and max(shares) > _CONTENDED:
            run.warn(
                f"other programs took up to {max(shares):.0%} of the processor during the"
                " benchmark: trust its ratios more than its times"
            )

    @override
    def restore(self, run: Run, data: dict[str, Any]) -> None:
        run.candidates = []
        restore_candidates(run, data)
        self._finish(run)
