"""Builds reports as runs leave them: complete, goals missed, failed, stopped half-way.

The figures are those of a small network on digits; status is derived as the trainer does it.
"""

import math
import random
from dataclasses import dataclass, field
from typing import Any

from candidate_builder import CANDIDATES, TARGET, digest_text, make_candidate
from trimtab_api.defaults import expand_job
from trimtab_api.explanation import explain_choices
from trimtab_api.fingerprint import fingerprint_job
from trimtab_api.outcome import RunFacts, build_status
from trimtab_api.reports import (
    BaselineReport,
    CandidateReport,
    EpochReport,
    PrunedLayerReport,
    PruneStepReport,
    RunReport,
    TrialFailure,
    TrialReport,
)
from trimtab_api.stages import STAGE_ORDER, StageName, StageState
from trimtab_api.v1alpha1.conditions import DegradedReason, FailedReason
from trimtab_api.v1alpha1.goals import Profile, TargetDevice
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_api.v1alpha1.status import (
    BudgetStatus,
    FailureClass,
    GpuSeconds,
    PrecisionStatus,
    StageStatus,
    TrialState,
)
from trimtab_api.validation import parse_job

__all__ = [
    "ReportParts",
    "make_candidate",
    "make_failed_report",
    "make_manifest",
    "make_missed_report",
    "make_partial_parts",
    "make_partial_report",
    "make_parts",
    "make_report",
    "make_trials",
]


def make_manifest(**changes: Any) -> dict[str, Any]:
    """Return a valid manifest as plain data; `changes` replace fields of its spec."""
    spec: dict[str, Any] = {
        "seed": 7,
        "model": {"builtin": "small-cnn"},
        "dataset": {"builtin": "digits"},
        "constraints": [
            {"metric": "accuracy", "maxDrop": 0.01},
            {"metric": "size_mib", "target": TARGET, "max": 0.2},
            {"metric": "speedup", "target": TARGET, "min": 1.5},
        ],
        "targets": [{"name": TARGET, "profile": "cpu-edge", "threads": 1}],
        "stages": {
            "search": {"numTrials": 16, "parallelTrials": 2},
            "train": {"epochs": 12},
            "prune": {"schedule": {"steps": 3}, "finetune": {"epochs": 4}},
            "quantize": {},
        },
    }
    return {
        "apiVersion": "trimtab.dev/v1alpha1",
        "kind": "OptimizationJob",
        "metadata": {"name": "digits"},
        "spec": {**spec, **changes},
    }


@dataclass(slots=True)
class ReportParts:
    """What a run knows when it writes its report; tests change parts and build."""

    manifest: dict[str, Any] = field(default_factory=make_manifest)
    trials: list[TrialReport] = field(default_factory=list)
    training: list[EpochReport] = field(default_factory=list)
    prune_steps: list[PruneStepReport] = field(default_factory=list)
    pruned_layers: list[PrunedLayerReport] = field(default_factory=list)
    candidates: list[CandidateReport] = field(default_factory=list)
    stages: dict[StageName, StageStatus] = field(default_factory=dict)
    has_budget: bool = True
    budget_spent: dict[str, float] = field(default_factory=dict)
    failure: tuple[FailedReason, str] | None = None
    finished: bool = True
    problem: tuple[DegradedReason, str] | None = None
    had_problem: bool = False
    extended: bool = False
    precision: PrecisionStatus = field(default_factory=lambda: PrecisionStatus(dtype="fp32"))
    gpu_seconds: GpuSeconds | None = None
    devices: dict[str, TargetDevice] = field(default_factory=lambda: {TARGET: TargetDevice.CPU})
    warnings: tuple[str, ...] = ()

    def build(self) -> RunReport:
        """Return the report."""
        job = parse_job(self.manifest)
        expanded = expand_job(job, cores=2, detected=Profile.CPU_SERVER)
        dense = next((entry for entry in self.candidates if entry.id == "dense"), None)
        baseline = (
            BaselineReport(
                artifact=dense.artifact,
                digest=dense.digest,
                metrics=dense.metrics,
                test_metrics=dense.test_metrics,
            )
            if dense
            else None
        )
        choices = (
            explain_choices(self.candidates, baseline.metrics, expanded.spec, linear_share=0.1)
            if baseline and self.finished
            else ()
        )
        return RunReport(
            name=job.metadata.name,
            fingerprint=fingerprint_job(job),
            manifest=_dump(job),
            spec=_dump(expanded),
            status=build_status(self._facts(expanded, baseline)),
            baseline=baseline,
            trials=tuple(self.trials),
            training=tuple(self.training),
            prune_steps=tuple(self.prune_steps),
            pruned_layers=tuple(self.pruned_layers),
            candidates=tuple(self.candidates),
            choices=choices,
            data={
                "samples": {"train": 1257, "validation": 270, "test": 270},
                "digest": digest_text("digits"),
            },
            environment={
                "python": "3.11.7",
                "system": "Linux 6.1.0",
                "processor": "AMD EPYC 9354 32-Core Processor",
                "instructions": ["avx2", "avx512f", "avx512_vnni"],
                "cores": 2,
                "packages": {"torch": "2.15.0", "onnxruntime": "1.32.0", "ray": "2.60.0"},
            },
            warnings=self.warnings,
        )

    def _facts(self, job: OptimizationJob, baseline: BaselineReport | None) -> RunFacts:
        return RunFacts(
            spec=job.spec,
            attempt=1,
            now="2026-11-24T10:04:31Z",
            start_time="2026-11-24T10:01:02Z",
            stages=tuple(self.stages.get(name, StageStatus(name=name)) for name in STAGE_ORDER),
            trials=self.trials,
            baseline=baseline,
            candidates=self.candidates,
            budget=BudgetStatus(
                metric="accuracy",
                allowed=0.01,
                resolution=1 / 270,
                spent=self.budget_spent,
                remaining=0.01 - sum(self.budget_spent.values()),
            )
            if baseline and self.has_budget
            else None,
            precision=self.precision,
            gpu_seconds=self.gpu_seconds,
            failure=self.failure,
            problem=self.problem,
            had_problem=self.had_problem,
            extended=self.extended,
            finished=self.finished,
            node="bench-host",
            proxy=True,
            devices=self.devices,
        )


def make_report() -> RunReport:
    """Return the report of a run that met its goals."""
    return make_parts().build()


def make_missed_report() -> RunReport:
    """Return the report of a complete run that misses a limit on speed."""
    parts = make_parts()
    parts.manifest["spec"]["constraints"][2]["min"] = 4
    parts.candidates = [
        entry.model_copy(
            update={
                "feasible": False,
                "rejected": entry.rejected or f"speedup@{TARGET} min 4 is missed",
            }
        )
        for entry in parts.candidates
    ]
    parts.warnings = (
        "other programs took up to 14% of the processor: trust ratios more than times",
    )
    return parts.build()


def make_failed_report() -> RunReport:
    """Return the report of a run that failed in its search."""
    failed = [
        TrialReport(
            number=number,
            state=TrialState.FAILED,
            parameters={"train.learningRate": 0.01 * (number + 1), "train.batchSize": 32},
            seconds=0.4,
            failure=TrialFailure(
                failure_class=FailureClass.TRIAL_ERROR,
                message="metric accuracy is missing; the task gave <loss> and f1",
            ),
        )
        for number in range(3)
    ]
    message = (
        "the first 3 trials failed alike: metric accuracy is missing; the task gave <loss> and f1"
    )
    return ReportParts(
        trials=failed,
        stages={StageName.SEARCH: _stage(StageName.SEARCH, StageState.FAILED, message=message)},
        failure=(FailedReason.USER_ERROR, message),
        finished=False,
    ).build()


def make_partial_report() -> RunReport:
    """Return the report of a run that was stopped while it pruned."""
    return make_partial_parts().build()


def make_partial_parts() -> ReportParts:
    """Return the parts of a run that was stopped while it pruned."""
    parts = make_parts()
    parts.finished = False
    parts.candidates = parts.candidates[:1]
    parts.prune_steps = parts.prune_steps[:1]
    parts.budget_spent = {}
    parts.stages = {name: parts.stages[name] for name in (StageName.SEARCH, StageName.TRAIN)} | {
        StageName.PRUNE: StageStatus(name=StageName.PRUNE, state=StageState.RUNNING)
    }
    return parts


def make_parts() -> ReportParts:
    """Return the parts of a complete run."""
    trials = make_trials()
    best = max(
        (trial for trial in trials if trial.values), key=lambda trial: trial.values["accuracy"]
    )
    return ReportParts(
        trials=trials,
        training=list(best.intermediate),
        prune_steps=[
            _prune_step(1, 0.23, 62_904, 6.61e6, 0.9778, kept=True),
            _prune_step(2, 0.31, 49_122, 5.30e6, 0.9741, kept=True),
            _prune_step(3, 0.36, 41_290, 4.71e6, 0.9741, kept=True),
        ],
        pruned_layers=[
            PrunedLayerReport(layer=layer, kind="Filters", before=before, after=after)
            for layer, before, after in (("conv1", 32, 24), ("conv2", 64, 40), ("conv3", 64, 64))
        ],
        candidates=[make_candidate(name) for name in CANDIDATES],
        stages=_complete_stages(best),
        budget_spent={"prune": 0.0037, "quantize": 0.0037},
        gpu_seconds=GpuSeconds(used=120.5, saved=30.25),
    )


def make_trials(count: int = 16, *, seed: int = 3) -> list[TrialReport]:
    """Return ended trials of a search; two of sixteen have no value."""
    generator = random.Random(seed)
    return [_make_trial(number, generator) for number in range(count)]


def _make_trial(number: int, generator: random.Random) -> TrialReport:
    rate = 10 ** generator.uniform(-4, -1)
    parameters = {
        "train.learningRate": rate,
        "train.batchSize": generator.choice((32, 64, 128)),
        "train.weightDecay": 10 ** generator.uniform(-5, -1),
    }
    if number in {5, 11}:
        return TrialReport(
            number=number,
            state=TrialState.FAILED,
            parameters=parameters,
            seconds=1.1,
            failure=TrialFailure(
                failure_class=FailureClass.DIVERGED, message="loss became nan in epoch 2"
            ),
        )
    # Best near 1e-2 and worse the farther away, as learning rates are.
    distance = abs(math.log10(rate) + 2)
    peak = 0.9778 - 0.022 * max(distance - 0.1, 0) ** 1.5 - generator.uniform(0, 0.008) * distance
    epochs = tuple(
        EpochReport(
            epoch=epoch,
            metrics={
                "accuracy": peak - 0.5 * math.exp(-epoch * 0.9),
                "loss": 0.08 + 2.2 * math.exp(-epoch * 0.7),
                "train_loss": 0.02 + 2.3 * math.exp(-epoch * 0.75),
            },
            seconds=0.35,
        )
        for epoch in range(1, 13)
    )
    return TrialReport(
        number=number,
        state=TrialState.SUCCEEDED,
        parameters=parameters,
        values={"accuracy": peak},
        metrics={"accuracy": peak, "loss": 0.08},
        intermediate=epochs,
        seconds=4.6,
    )


def _prune_step(
    step: int, ratio: float, params: int, flops: float, accuracy: float, *, kept: bool
) -> PruneStepReport:
    return PruneStepReport(
        step=step,
        ratio=ratio,
        params=params,
        flops=int(flops),
        metrics={"accuracy": accuracy},
        kept=kept,
    )


def _complete_stages(best: TrialReport) -> dict[StageName, StageStatus]:
    messages = {
        StageName.SEARCH: f"16 trials, best accuracy 0.9778 by trial {best.number}",
        StageName.TRAIN: f"weights of trial {best.number}: same recipe, data and seed",
        StageName.PRUNE: "51% of the FLOPs and 48% of the parameters removed",
        StageName.QUANTIZE: "pruned-int8 accepted; dense-int8 speedup@edge min 1.6 is missed",
        StageName.EXPORT: "4 files; float ones equal their models within 4.2e-06",
        StageName.BENCHMARK: "pruned-int8 ships for edge",
    }
    return {
        name: _stage(name, StageState.SUCCEEDED, message=message)
        for name, message in messages.items()
    }


def _stage(name: StageName, state: StageState, *, message: str) -> StageStatus:
    minute = STAGE_ORDER.index(name)
    return StageStatus(
        name=name,
        state=state,
        message=message,
        start_time=f"2026-11-24T10:0{minute}:02Z",
        completion_time=f"2026-11-24T10:0{minute}:40Z",
    )


def _dump(job: OptimizationJob) -> dict[str, Any]:
    return job.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
