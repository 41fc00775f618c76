"""Stage benchmark: the final run side by side, on every target, and the last verdicts."""

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from trimtab_api.reports import CandidateReport
from trimtab_api.selection import file_for, pick_candidate
from trimtab_api.stages import StageName
from trimtab_api.techniques import DENSE, plan_formats
from trimtab_api.v1alpha1.export import ExportFormat
from trimtab_api.v1alpha1.goals import TargetDevice
from trimtab_api.wording import render_share
from trimtab_trainer.reporting._base import CandidateMeasured, StageProgress
from trimtab_trainer.stages._base import AbstractStage, Run, StageResult
from trimtab_trainer.stages._candidates import (
    judge,
    measure_side_by_side,
    measure_target,
    restore_candidates,
    set_baseline,
    settle_lineage,
)
from trimtab_trainer.stages._manifest import write_manifest

__all__ = ["BenchmarkStage"]

# Where other programs take more of the CPUs, latencies tell more of them than of the model.
_CONTENDED = 0.1


class BenchmarkStage(AbstractStage):
    """Leaves the final figures of every candidate."""

    name = StageName.BENCHMARK

    @override
    def inputs(self, run: Run) -> dict[str, Any] | None:
        spec = run.spec
        return {
            "files": [[file.digest for file in entry.files] for entry in run.candidates],
            "targets": [target.model_dump(mode="json") for target in spec.targets],
            "constraints": [entry.model_dump(mode="json") for entry in spec.constraints],
            "benchmark": spec.stages.benchmark.model_dump(mode="json"),
        }

    @override
    def run(self, run: Run) -> StageResult:
        run.reporter.publish(
            StageProgress(self.name, 0, 1, f"{len(run.candidates)} files side by side")
        )
        run.devices = {}
        fresh = [_without_times(entry) for entry in run.candidates]
        measured = measure_side_by_side(run, fresh, run.targets_here)
        measured = self._time_other_formats(run, measured)
        by_name = {candidate.id: candidate for candidate in measured}
        set_baseline(run, by_name[DENSE])
        # Without times of its own, the verdict of the gate is all there is.
        run.candidates = [
            judge(run, candidate, parent=by_name.get(candidate.parent or ""))
            if run.targets_here
            else candidate
            for candidate in measured
        ]
        for candidate in run.candidates:
            run.reporter.publish(CandidateMeasured(candidate))
        self._warn_of_contention(run)
        shipped = self._finish(run)
        write_manifest(run)
        return StageResult(
            message=f"{shipped.id} ships for {run.spec.targets[0].name}"
            if shipped
            else f"target {run.spec.targets[0].name} has no figures",
            artifact=shipped.artifact if shipped else None,
            metrics={
                key: value
                for key, value in (shipped.metrics if shipped else {}).items()
                if key.startswith(("speedup", "latency_p50_ms", "size_mib"))
            },
            data={
                "candidates": [entry.model_dump(mode="json") for entry in run.candidates],
                "devices": run.devices,
            },
        )

    def _time_other_formats(
        self, run: Run, candidates: list[CandidateReport]
    ) -> list[CandidateReport]:
        """Time, as the first target says, what its runtime does not take; note it at the files."""
        if not run.targets_here:
            return candidates
        first = run.targets_here[0]
        for form in plan_formats(run.spec):
            files = {
                entry.id: run.context.root / file.artifact
                for entry in candidates
                for file in entry.files
                if file.format == form and file != file_for(entry, first)
            }
            figures, _ = measure_target(run, first, files)
            candidates = [
                _with_times(entry, form, figures.get(entry.id, {})) for entry in candidates
            ]
        return candidates

    def _finish(self, run: Run) -> CandidateReport | None:
        """Settle the ledger on what ships for the first target."""
        baseline = run.baseline.metrics if run.baseline else {}
        pick = pick_candidate(run.candidates, baseline, run.spec, run.spec.targets[0])
        run.measured = True
        if pick is None:
            return None
        settle_lineage(run, pick.candidate)
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
                f"other programs took up to {render_share(max(shares))} of the processor during the"
                " benchmark: trust its ratios more than its times"
            )

    @override
    def restore(self, run: Run, data: dict[str, Any]) -> None:
        run.candidates = []
        restore_candidates(run, data)
        run.devices = {name: TargetDevice(device) for name, device in data["devices"].items()}
        self._finish(run)
        write_manifest(run)


def _without_times(candidate: CandidateReport) -> CandidateReport:
    """Drop what the gates measured: figures of another moment must not stand beside new ones."""
    metrics = {
        key: value
        for key, value in candidate.metrics.items()
        if not key.startswith(("latency_", "throughput_", "memory_", "contention", "speedup"))
    }
    return candidate.model_copy(update={"metrics": metrics})


def _with_times(
    candidate: CandidateReport, form: ExportFormat, figures: Mapping[str, float | None]
) -> CandidateReport:
    own = {name: value for name, value in figures.items() if value is not None}
    files = tuple(
        file.model_copy(update={"metrics": {**file.metrics, **own}})
        if file.format == form
        else file
        for file in candidate.files
    )
    return candidate.model_copy(update={"files": files})
