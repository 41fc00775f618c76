"""The limits that one trial can tell, before the model is pruned, quantized or exported. Pure.

The search tells the sampler by how much a trial is past each of them, and gives up a point whose
network is too large even for what the later stages can take off. The verdict over exported files
stays with `selection`, which judges all limits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trimtab_api.metrics import KNOWN_METRICS, TRIAL_METRICS, MetricScope
from trimtab_api.selection import ROUNDING, describe_constraint
from trimtab_api.techniques import plan_techniques
from trimtab_api.v1alpha1.goals import Constraint
from trimtab_api.v1alpha1.job import Spec, Stages
from trimtab_api.v1alpha1.prune import Granularity
from trimtab_api.v1alpha1.quantize import WeightDtype

__all__ = ["TrialLimit", "find_violations", "trial_limits"]

_MIB = 2**20
_FLOAT_BYTES = 4
_BYTES = {WeightDtype.INT8: 1, WeightDtype.FP16: 2, WeightDtype.BF16: 2}


@dataclass(frozen=True, slots=True)
class TrialLimit:
    """A bound on one metric of a trial."""

    name: str
    """The constraint in the words of `describe_constraint`."""
    metric: str
    """The trial's metric that is judged."""
    bound: float
    """In the constraint's unit."""
    upper: bool
    """Whether the bound is the largest value allowed, not the smallest."""
    share: float = 1.0
    """What is judged is so many times the trial's metric: the least that the later stages leave of it, in the constraint's unit."""

    @property
    def is_static(self) -> bool:
        """Return whether it can be judged on the network alone, before training."""
        known = KNOWN_METRICS.get(self.metric)
        return known is not None and known.scope is MetricScope.STATIC

    def excess(self, value: float) -> float:
        """Return by how much a value of the metric is past the bound, in the constraint's unit.

        Positive = past it, negative = so much is left; what is past by less than the rounding of
        floats is 0, as in the final verdict.
        """
        judged = self.share * value
        past = judged - self.bound if self.upper else self.bound - judged
        return 0.0 if 0 < past <= ROUNDING * max(1.0, abs(self.bound)) else past


def find_violations(limits: Sequence[TrialLimit], metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the limits that a trial is past: name → excess in the constraint's unit.

    Args:
        limits: Those of `trial_limits`.
        metrics: The trial's; a limit on a metric that is not among them is left out.
    """
    excesses = {
        limit.name: limit.excess(metrics[limit.metric])
        for limit in limits
        if limit.metric in metrics
    }
    return {name: excess for name, excess in excesses.items() if excess > 0}


def trial_limits(spec: Spec) -> tuple[TrialLimit, ...]:
    """Return the constraints of an expanded spec that a trial can tell, in its order.

    These are the bounds on validation metrics and on `params` and `flops`, and the largest
    `size_mib`, which is estimated from the parameters. What is measured on a target, what compares
    with the baseline and what comes of pruning weights is not known in a trial. The largest size is judged against the
    least that the later stages can leave, and not at all where their amount tells nothing of it.
    """
    limits = (_trial_limit(constraint, spec) for constraint in spec.constraints)
    return tuple({limit.name: limit for limit in limits if limit is not None}.values())


def _trial_limit(constraint: Constraint, spec: Spec) -> TrialLimit | None:
    judged = _find_judged(constraint, spec)
    if judged is None:
        return None
    metric, share = judged
    return TrialLimit(
        name=describe_constraint(constraint),
        metric=metric,
        bound=getattr(constraint, constraint.chosen()),
        upper=constraint.max is not None,
        share=share,
    )


def _find_judged(constraint: Constraint, spec: Spec) -> tuple[str, float] | None:
    """Return the trial's metric that tells of a constraint, and which share of it is judged."""
    if constraint.max is None and constraint.min is None:
        return None
    known = KNOWN_METRICS.get(constraint.metric)
    if known is None or known.scope is MetricScope.VALIDATION:
        return constraint.metric, 1.0
    if known.scope is MetricScope.TARGET:
        return _find_judged_size(constraint, spec)
    if constraint.metric not in TRIAL_METRICS:
        return None
    # The later stages only make a network smaller: a least size is told by what it has now.
    if constraint.min is not None:
        return constraint.metric, 1.0
    left = _least_left(constraint.metric, spec.stages)
    return None if left is None else (constraint.metric, left)


def _find_judged_size(constraint: Constraint, spec: Spec) -> tuple[str, float] | None:
    if constraint.metric != "size_mib" or constraint.max is None:
        return None
    left = _least_left("params", spec.stages)
    return None if left is None else ("params", left * _least_bytes(spec) / _MIB)


def _least_left(metric: str, stages: Stages) -> float | None:
    """Return the share of a static metric that pruning aims to leave; None where it is unknown."""
    if stages.prune is None or stages.prune.granularity is Granularity.WEIGHTS:
        return 1.0
    amount = stages.prune.amount
    if amount is None:  # the first target's profile skips the stage
        return 1.0
    cut = amount.params_reduction if metric == "params" else amount.flops_reduction
    return None if cut is None else 1.0 - cut


def _least_bytes(spec: Spec) -> int:
    """Return the bytes of a weight in the narrowest of the files that a job builds."""
    techniques = plan_techniques(spec, linear_share=None)
    return min((_BYTES[technique.weights] for technique in techniques), default=_FLOAT_BYTES)
