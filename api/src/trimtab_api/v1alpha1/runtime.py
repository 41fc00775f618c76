"""Where and how a job runs: the device, and what follows from a failure."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab_api.v1alpha1._base import ApiModel, Mutability, Rule
from trimtab_api.v1alpha1.status import FailureClass

__all__ = ["Cluster", "Device", "FailureAction", "FailurePolicy", "FailureRule"]


class Device(StrEnum):
    """Where training and candidates run."""

    AUTO = "Auto"
    """A GPU where a worker has one that works, else the CPU."""
    CPU = "cpu"
    CUDA = "cuda"


class Cluster(ApiModel):
    """The machines of a job."""

    mutability: ClassVar[dict[str, Mutability]] = {"device": Mutability.NEXT_ATTEMPT}

    device: Device = Device.AUTO
    """Auto, cpu or cuda; cuda without a working GPU fails the preflight."""


class FailureAction(StrEnum):
    """What is done about a failed trial."""

    RETRY = "Retry"
    """Run it again, from its last checkpoint."""
    SHRINK_BATCH = "ShrinkBatch"
    """Run it again in micro-batches of half the size; the batch of a step stays the same."""
    FALLBACK_PRECISION = "FallbackPrecision"
    """Go on from the last good epoch with the next type of `train.precision.fallback`."""
    MARK_INFEASIBLE = "MarkInfeasible"
    """Give it up; the sampler learns to avoid such points, and it does not count as failed."""
    MARK_FAILED = "MarkFailed"
    """Give it up and count it as failed."""
    FAIL_JOB = "FailJob"
    """End the job."""


_ALLOWED: dict[FailureClass, frozenset[FailureAction]] = {
    FailureClass.OOM: frozenset(FailureAction) - {FailureAction.FALLBACK_PRECISION},
    FailureClass.DIVERGED: frozenset(FailureAction) - {FailureAction.SHRINK_BATCH},
    FailureClass.TRIAL_ERROR: frozenset(FailureAction)
    - {FailureAction.SHRINK_BATCH, FailureAction.FALLBACK_PRECISION},
    FailureClass.TIMEOUT: frozenset(FailureAction)
    - {FailureAction.SHRINK_BATCH, FailureAction.FALLBACK_PRECISION},
    FailureClass.NODE_LOST: frozenset(FailureAction)
    - {FailureAction.SHRINK_BATCH, FailureAction.FALLBACK_PRECISION},
    FailureClass.PREEMPTED: frozenset({FailureAction.RETRY}),
    FailureClass.USER_ERROR: frozenset({FailureAction.FAIL_JOB}),
}


class FailureRule(ApiModel):
    """What follows from one class of failures."""

    failure_class: Annotated[FailureClass, Field(alias="class")]
    """The class."""
    actions: Annotated[tuple[FailureAction, ...], Field(min_length=1, max_length=4)]
    """The first failure of a trial takes the first action, the next one the next, all further ones the last."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel=" && ".join(
                f"(self.class != '{kind}' || self.actions.all(a, a in"
                f" {sorted(str(action) for action in allowed)}))"
                for kind, allowed in _ALLOWED.items()
            ),
            check=lambda self: set(self.actions) <= _ALLOWED[self.failure_class],
            message="must fit the class: ShrinkBatch is for OOM, FallbackPrecision for Diverged, Preempted is always retried, UserError always fails the job",
            field="actions",
        ),
    )


class FailurePolicy(ApiModel):
    """What follows from failures of trials, by class."""

    mutability: ClassVar[dict[str, Mutability]] = {"overrides": Mutability.NEXT_ATTEMPT}

    overrides: Annotated[tuple[FailureRule, ...], Field(max_length=7, alias="rules")] = ()
    """Replaces the defaults. OOM: ShrinkBatch, MarkInfeasible. Diverged: FallbackPrecision, MarkFailed. TrialError: MarkFailed. UserError: FailJob. Timeout: Retry, MarkFailed. NodeLost: Retry three times, then MarkFailed, because some points kill every process. Preempted: Retry."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.rules) || self.rules.all(r, self.rules.exists_one(q, q.class == r.class))",
            check=lambda self: (
                len({rule.failure_class for rule in self.overrides}) == len(self.overrides)
            ),
            message="must name each class once",
            field="overrides",
        ),
    )
