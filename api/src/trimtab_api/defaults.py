"""The computed defaults of a job, the points of a grid, and how much work a job is.

Pure; shared by the plan, the local run and, in a cluster, the operator.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trimtab_api.v1alpha1._types import Scalar
from trimtab_api.v1alpha1.goals import Prefer, Profile, Target
from trimtab_api.v1alpha1.job import OptimizationJob, Spec
from trimtab_api.v1alpha1.prune import Amount, Prune
from trimtab_api.v1alpha1.search import (
    Categorical,
    LogUniform,
    NumberType,
    Parameter,
    Search,
    SearchSpace,
    Uniform,
)
from trimtab_api.v1alpha1.train import Train

__all__ = [
    "DEFAULT_PARAMETERS",
    "PROFILES",
    "ProfileDefaults",
    "WorkPlan",
    "count_work",
    "expand_job",
    "grid_points",
    "grid_size",
    "is_finite_space",
    "space_size",
    "space_values",
]

_TRIALS = 20
_EPOCHS = 10
_FINETUNE_RATE = 0.1
_FAILED_SHARE = 0.2
_FAILED_LEAST = 3


@dataclass(frozen=True, slots=True)
class ProfileDefaults:
    """What a profile sets where the manifest says nothing."""

    flops_reduction: float
    round_to: int
    batch_size: int
    threads: int | None
    """None: all cores."""
    prefer: Prefer
    speed_metric: str
    """What Speed means on this hardware."""


PROFILES: dict[Profile, ProfileDefaults] = {
    Profile.CPU_EDGE: ProfileDefaults(0.5, 8, 1, 2, Prefer.SPEED, "latency_p95_ms"),
    Profile.CPU_SERVER: ProfileDefaults(0.3, 8, 8, None, Prefer.SPEED, "throughput_per_s"),
}

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


def expand_job(job: OptimizationJob, *, cores: int, detected: Profile) -> OptimizationJob:
    """Return the job with every computed default filled in.

    Args:
        job: A valid job.
        cores: Cores where targets are measured; a target's threads never exceed them.
        detected: The profile of a target that names none.
    """
    spec = job.spec
    targets = tuple(_expand_target(target, cores, detected) for target in spec.targets)
    stages = spec.stages
    first = targets[0].profile or detected
    expanded = {
        "search": _expand_search(stages.search) if stages.search else None,
        "train": _expand_train(stages.train) if stages.train else None,
        "prune": _expand_prune(stages.prune, stages.train, PROFILES[first])
        if stages.prune
        else None,
    }
    return job.model_copy(
        update={
            "spec": spec.model_copy(
                update={"targets": targets, "stages": stages.model_copy(update=expanded)}
            )
        }
    )


def _expand_target(target: Target, cores: int, detected: Profile) -> Target:
    profile = target.profile or detected
    defaults = PROFILES[profile]
    return target.model_copy(
        update={
            "profile": profile,
            "prefer": target.prefer or defaults.prefer,
            "batch_size": target.batch_size or defaults.batch_size,
            "threads": min(target.threads or defaults.threads or cores, cores),
        }
    )


def _expand_search(search: Search) -> Search:
    parameters = search.parameters or DEFAULT_PARAMETERS
    trials = search.num_trials
    if trials is None:
        trials = grid_size(parameters) if search.algorithm.grid is not None else _TRIALS
    failed = search.max_failed_trials
    if failed is None:
        failed = max(_FAILED_LEAST, math.floor(trials * _FAILED_SHARE))
    return search.model_copy(
        update={"parameters": parameters, "num_trials": trials, "max_failed_trials": failed}
    )


def _expand_train(train: Train) -> Train:
    if train.epochs is None and train.steps is None:
        return train.model_copy(update={"epochs": _EPOCHS})
    return train


def _expand_prune(prune: Prune, train: Train | None, profile: ProfileDefaults) -> Prune:
    finetune = prune.finetune
    if finetune.learning_rate is None and train is not None:
        rate = _FINETUNE_RATE * train.learning_rate
        finetune = finetune.model_copy(update={"learning_rate": rate})
    return prune.model_copy(
        update={
            "amount": prune.amount or Amount(flops_reduction=profile.flops_reduction),
            "round_to": prune.round_to or profile.round_to,
            "finetune": finetune,
        }
    )


def is_finite_space(space: SearchSpace) -> bool:
    """Return whether a space has finitely many values that a grid would list."""
    if space.uniform is not None:
        return space.uniform.step is not None or space.uniform.type is NumberType.INT
    if space.log_uniform is not None:
        return space.log_uniform.type is NumberType.INT
    return True


def space_values(space: SearchSpace) -> Sequence[Scalar]:
    """Return the distinct values of a finite space, smallest or first choice first.

    Raises:
        ValueError: The space is not finite.
    """
    if space.categorical is not None:
        return _distinct(space.categorical.choices)
    bounds = space.uniform or space.log_uniform
    if bounds is None:
        raise ValueError(f"a search space must have exactly one kind but got {space}")
    step = _step(bounds)
    values = (bounds.min + step * index for index in range(space_size(space)))
    if bounds.type is NumberType.INT:
        return [int(value) for value in values]
    return [min(round(value, 12), bounds.max) for value in values]


def space_size(space: SearchSpace) -> int:
    """Return how many distinct values a finite space has, without listing a range.

    Raises:
        ValueError: The space is not finite.
    """
    if space.categorical is not None:
        return len(_distinct(space.categorical.choices))
    bounds = space.uniform or space.log_uniform
    if bounds is None or not is_finite_space(space):
        raise ValueError(f"a space of a grid must be finite but got {space}")
    # Half a thousandth of a step absorbs the rounding of the division, no more.
    return math.floor((bounds.max - bounds.min) / _step(bounds) + 5e-4) + 1


def _step(bounds: Uniform | LogUniform) -> float:
    return (bounds.step if isinstance(bounds, Uniform) else None) or 1.0


def _distinct(choices: Sequence[Scalar]) -> list[Scalar]:
    """Drop repeats; 1, 1.0 and true are equal to Python but different choices."""
    return list({(type(choice), choice): choice for choice in choices}.values())


def grid_points(parameters: Sequence[Parameter]) -> Iterator[dict[str, Scalar]]:
    """Yield every point of a finite space once, the last parameter changing fastest.

    Raises:
        ValueError: A parameter's space is not finite.
    """
    names = [parameter.name for parameter in parameters]
    values = [space_values(parameter.search_space) for parameter in parameters]
    for point in itertools.product(*values):
        yield dict(zip(names, point, strict=True))


def grid_size(parameters: Sequence[Parameter]) -> int:
    """Return the number of points of a finite space.

    Raises:
        ValueError: A parameter's space is not finite.
    """
    return math.prod(space_size(parameter.search_space) for parameter in parameters)


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
    """Every model that is exported, evaluated and measured."""

    @property
    def epochs(self) -> int:
        """Return all epochs, those of a pruned network counted as full ones."""
        return self.search_epochs + self.train_epochs + self.finetune_epochs


def count_work(spec: Spec) -> WorkPlan:
    """Return how much work an expanded spec is at most."""
    stages = spec.stages
    epochs = (stages.train.epochs or 0) if stages.train else 0
    trials = _count_trials(stages.search) if stages.search else 0
    floats = ["dense", "pruned"] if stages.prune else ["dense"]
    candidates = [*floats, *(f"{name}-int8" for name in floats)] if stages.quantize else floats
    return WorkPlan(
        trials=trials,
        search_epochs=trials * epochs,
        train_epochs=0 if trials else epochs,
        finetune_epochs=stages.prune.schedule.steps * stages.prune.finetune.epochs
        if stages.prune
        else 0,
        candidates=tuple(candidates),
    )


def _count_trials(search: Search) -> int:
    """A finite space ends after its distinct points, whatever numTrials says."""
    parameters = search.parameters or DEFAULT_PARAMETERS
    trials = search.num_trials or _TRIALS
    if all(is_finite_space(parameter.search_space) for parameter in parameters):
        return min(trials, grid_size(parameters))
    return trials
