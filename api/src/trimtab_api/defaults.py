"""The computed defaults of a job, and how much work a job is.

Pure; shared by the plan, the local run and, in a cluster, the operator.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trimtab_api.spaces import grid_points, grid_size, is_finite_space
from trimtab_api.techniques import choose_technique, plan_candidates
from trimtab_api.v1alpha1.goals import Objective, Prefer, Profile, Runtime, Target, TargetDevice
from trimtab_api.v1alpha1.job import OptimizationJob, Spec
from trimtab_api.v1alpha1.prune import Amount, Granularity, Prune
from trimtab_api.v1alpha1.quantize import Quantize, QuantizeMethod
from trimtab_api.v1alpha1.runtime import FailureAction
from trimtab_api.v1alpha1.search import (
    Categorical,
    EarlyStopping,
    LogUniform,
    Parameter,
    Search,
    SearchSpace,
)
from trimtab_api.v1alpha1.status import FailureClass
from trimtab_api.v1alpha1.train import Train

__all__ = [
    "DEFAULT_PARAMETERS",
    "DETECTED_PROFILE",
    "PROFILES",
    "ProfileDefaults",
    "WorkPlan",
    "compute_trials",
    "count_work",
    "expand_job",
    "expand_spec",
    "failure_actions",
    "grid_points",
]

_TRIALS = 20
_EPOCHS = 10
_FINETUNE_DIVISOR = 10
_FAILED_SHARE = 0.2
_FAILED_LEAST = 3
_WEIGHTS_AMOUNT = Amount(ratio=0.5)


@dataclass(frozen=True, slots=True)
class ProfileDefaults:
    """What a profile sets where the manifest says nothing."""

    flops_reduction: float | None
    """None: stage prune is skipped where the manifest gives no amount."""
    round_to: int
    runtime: Runtime
    device: TargetDevice
    batch_size: int
    threads: int | None
    """None: all cores."""
    prefer: Prefer
    speed_metric: str
    """What Speed means on this hardware."""


PROFILES: dict[Profile, ProfileDefaults] = {
    Profile.MOBILE: ProfileDefaults(
        flops_reduction=0.5,
        round_to=8,
        runtime=Runtime.ONNXRUNTIME,
        device=TargetDevice.CPU,
        batch_size=1,
        threads=2,
        prefer=Prefer.SIZE,
        speed_metric="latency_p95_ms",
    ),
    Profile.CPU_EDGE: ProfileDefaults(
        flops_reduction=0.5,
        round_to=8,
        runtime=Runtime.ONNXRUNTIME,
        device=TargetDevice.CPU,
        batch_size=1,
        threads=2,
        prefer=Prefer.SPEED,
        speed_metric="latency_p95_ms",
    ),
    Profile.GPU_EDGE: ProfileDefaults(
        flops_reduction=0.4,
        round_to=16,
        runtime=Runtime.ONNXRUNTIME,
        device=TargetDevice.CUDA,
        batch_size=1,
        threads=None,
        prefer=Prefer.SPEED,
        speed_metric="latency_p95_ms",
    ),
    Profile.CPU_SERVER: ProfileDefaults(
        flops_reduction=0.3,
        round_to=8,
        runtime=Runtime.ONNXRUNTIME,
        device=TargetDevice.CPU,
        batch_size=8,
        threads=None,
        prefer=Prefer.SPEED,
        speed_metric="throughput_per_s",
    ),
    Profile.GPU_SERVER: ProfileDefaults(
        flops_reduction=None,
        round_to=16,
        runtime=Runtime.TORCH,
        device=TargetDevice.CUDA,
        batch_size=32,
        threads=None,
        prefer=Prefer.ACCURACY,
        speed_metric="throughput_per_s",
    ),
}

DETECTED_PROFILE = Profile.CPU_SERVER
"""The profile of a local target that names none."""

DEFAULT_PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        name="train.learningRate",
        search_space=SearchSpace(log_uniform=LogUniform(min=1e-4, max=1e-1)),
    ),
    Parameter(
        name="train.batchSize",
        search_space=SearchSpace(categorical=Categorical(choices=(32, 64, 128))),
    ),
    Parameter(
        name="train.weightDecay",
        search_space=SearchSpace(log_uniform=LogUniform(min=1e-5, max=1e-1)),
    ),
)
"""What is searched when the manifest names no parameters."""

_FAILURE_ACTIONS: dict[FailureClass, tuple[FailureAction, ...]] = {
    FailureClass.OOM: (FailureAction.SHRINK_BATCH, FailureAction.MARK_INFEASIBLE),
    FailureClass.DIVERGED: (FailureAction.FALLBACK_PRECISION, FailureAction.MARK_FAILED),
    FailureClass.TRIAL_ERROR: (FailureAction.MARK_FAILED,),
    FailureClass.USER_ERROR: (FailureAction.FAIL_JOB,),
    FailureClass.TIMEOUT: (FailureAction.RETRY, FailureAction.MARK_FAILED),
    # Some points kill every process that tries them, so retries must end.
    FailureClass.NODE_LOST: (*(FailureAction.RETRY,) * 3, FailureAction.MARK_FAILED),
    FailureClass.PREEMPTED: (FailureAction.RETRY,),
}


def failure_actions(spec: Spec, failure_class: FailureClass) -> tuple[FailureAction, ...]:
    """Return what follows from failures of a class: a rule of the job, else the default.

    The first failure of a trial takes the first action, the next one the next, all further ones
    the last.
    """
    for rule in spec.failure_policy.overrides:
        if rule.failure_class is failure_class:
            return rule.actions
    return _FAILURE_ACTIONS[failure_class]


def expand_job(job: OptimizationJob, *, cores: int, detected: Profile) -> OptimizationJob:
    """Return the job with its spec expanded, as `expand_spec` says."""
    spec = expand_spec(job.spec, cores=cores, detected=detected)
    return job.model_copy(update={"spec": spec})


def expand_spec(spec: Spec, *, cores: int, detected: Profile) -> Spec:
    """Return the spec with every computed default filled in.

    Args:
        spec: Of a valid job.
        cores: Cores where targets are measured; a target's threads never exceed them.
        detected: The profile of a target that names none.
    """
    targets = tuple(_expand_target(target, cores, detected) for target in spec.targets)
    stages = spec.stages
    first = targets[0].profile or detected
    expanded = {
        "search": _expand_search(stages.search, spec.objectives) if stages.search else None,
        "train": _expand_train(stages.train) if stages.train else None,
        "prune": _expand_prune(stages.prune, stages.train, PROFILES[first])
        if stages.prune
        else None,
        "quantize": _expand_quantize(stages.quantize) if stages.quantize else None,
    }
    return spec.model_copy(
        update={"targets": targets, "stages": stages.model_copy(update=expanded)}
    )


def _expand_target(target: Target, cores: int, detected: Profile) -> Target:
    profile = target.profile or detected
    defaults = PROFILES[profile]
    return target.model_copy(
        update={
            "profile": profile,
            "prefer": target.prefer or defaults.prefer,
            "runtime": target.runtime or defaults.runtime,
            "device": target.device or defaults.device,
            "batch_size": target.batch_size or defaults.batch_size,
            "threads": min(target.threads or defaults.threads or cores, cores),
        }
    )


def _expand_search(search: Search, objectives: Sequence[Objective]) -> Search:
    parameters = search.parameters or DEFAULT_PARAMETERS
    trials = search.num_trials or compute_trials(search)
    failed = search.max_failed_trials
    if failed is None:
        failed = max(_FAILED_LEAST, math.floor(trials * _FAILED_SHARE))
    return search.model_copy(
        update={
            "parameters": parameters,
            "num_trials": trials,
            "max_failed_trials": failed,
            "early_stopping": _expand_stopping(search.early_stopping, objectives),
        }
    )


def compute_trials(search: Search) -> int:
    """Return how many trials a search has that does not say: all points of a grid, else 20."""
    if search.algorithm.grid is None:
        return _TRIALS
    return grid_size(search.parameters or DEFAULT_PARAMETERS)


def _expand_stopping(
    stopping: EarlyStopping | None, objectives: Sequence[Objective]
) -> EarlyStopping | None:
    if stopping is None or stopping.metric is not None:
        return stopping
    return stopping.model_copy(update={"metric": objectives[0].metric})


def _expand_train(train: Train) -> Train:
    if train.epochs is None and train.steps is None:
        return train.model_copy(update={"epochs": _EPOCHS})
    return train


def _expand_prune(prune: Prune, train: Train | None, profile: ProfileDefaults) -> Prune:
    finetune = prune.finetune
    if finetune.learning_rate is None and train is not None:
        # Divided, as 0.1 times 0.003 is 0.00030000000000000003.
        rate = train.learning_rate / _FINETUNE_DIVISOR
        finetune = finetune.model_copy(update={"learning_rate": rate})
    filled = prune.model_copy(update={"finetune": finetune})
    if prune.granularity is Granularity.WEIGHTS:
        # Widths stay as they are, so there is nothing to round.
        return filled.model_copy(update={"amount": prune.amount or _WEIGHTS_AMOUNT})
    amount = prune.amount
    if amount is None and profile.flops_reduction is not None:
        amount = Amount(flops_reduction=profile.flops_reduction)
    rounding = prune.round_to or profile.round_to
    return filled.model_copy(update={"amount": amount, "round_to": rounding})


def _expand_quantize(quantize: Quantize) -> Quantize:
    if quantize.method is QuantizeMethod.AUTO:
        return quantize
    technique = choose_technique(quantize)
    return quantize.model_copy(
        update={"weights": technique.weights, "activations": technique.activations}
    )


@dataclass(frozen=True, slots=True)
class WorkPlan:
    """How much work a job is at most."""

    trials: int
    search_epochs: int
    """Epochs of all trials together; 0 where lengths are given in steps."""
    train_epochs: int
    """Epochs of the final training; 0 where the best trial's weights are taken."""
    finetune_epochs: int
    candidates: tuple[str, ...]
    """Every model that is exported, evaluated and measured, at most 8."""
    conditional: tuple[str, ...]
    """What comes to them, within the 8, where linear layers hold most of the FLOPs."""

    @property
    def epochs(self) -> int:
        """Return all epochs, those of a pruned network counted as full ones."""
        return self.search_epochs + self.train_epochs + self.finetune_epochs


def count_work(spec: Spec) -> WorkPlan:
    """Return how much work an expanded spec is at most."""
    stages = spec.stages
    epochs = (stages.train.epochs or 0) if stages.train else 0
    trials = _count_trials(stages.search) if stages.search else 0
    candidates = plan_candidates(spec, linear_share=0.0)
    linear = plan_candidates(spec, linear_share=1.0)
    # Without an amount, the profile skips the stage.
    prune = stages.prune if stages.prune and stages.prune.amount else None
    return WorkPlan(
        trials=trials,
        search_epochs=trials * epochs,
        train_epochs=0 if trials else epochs,
        finetune_epochs=prune.schedule.steps * prune.finetune.epochs if prune else 0,
        candidates=candidates,
        conditional=tuple(name for name in linear if name not in candidates),
    )


def _count_trials(search: Search) -> int:
    """A finite space ends after its distinct points, whatever numTrials says."""
    parameters = search.parameters or DEFAULT_PARAMETERS
    trials = search.num_trials or compute_trials(search)
    if all(is_finite_space(parameter.search_space) for parameter in parameters):
        return min(trials, grid_size(parameters))
    return trials
