"""The ledger of the accuracy budget: what the stages may spend together, and what they spent.

The budget is the limit `maxDrop` or `maxDropRatio` on the primary metric. prune may spend half of
it when quantize follows, else all; what one stage leaves flows on to the next. Without such a
limit there is no budget: amounts are applied as asked and the drop is reported.
"""

from dataclasses import dataclass, field

from trimtab_api.metrics import KNOWN_METRICS
from trimtab_api.selection import worsening
from trimtab_api.stages import StageName
from trimtab_api.v1alpha1.goals import Objective
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import BudgetStatus

__all__ = ["Ledger", "open_ledger"]

_PRUNE_SHARE = 0.5
_NOISE_SAMPLES = 2
# Two accuracies of the same count of samples differ by float rounding only below this.
_ROUNDING = 1e-9


@dataclass(slots=True)
class Ledger:
    """Drops of the primary metric against the baseline, in points of the metric."""

    objectives: tuple[Objective, ...]
    baseline: float
    """The primary metric of the exported baseline."""
    allowed: float | None
    """Drop allowed in all; None without a budget."""
    resolution: float
    """One sample of the validation split, in points of a metric between 0 and 1."""
    spent: dict[StageName, float] = field(default_factory=dict)

    @property
    def metric(self) -> str:
        """Return the name of the primary metric."""
        return self.objectives[0].metric

    def drop(self, value: float) -> float:
        """Return by how much a value is worse than the baseline; negative where better."""
        return worsening(self.metric, value, self.baseline, self.objectives)

    def allowance(self, stage: StageName, *, followed: bool) -> float | None:
        """Return the total drop against the baseline up to which a stage may go.

        Args:
            stage: The stage that asks.
            followed: Whether quantize comes after it.
        """
        if self.allowed is None:
            return None
        return (
            self.allowed * _PRUNE_SHARE if stage is StageName.PRUNE and followed else self.allowed
        )

    def is_within(self, value: float, allowance: float | None) -> bool:
        """Return whether a value's drop keeps an allowance."""
        return allowance is None or self.drop(value) <= allowance + _ROUNDING

    def settle(self, stage: StageName, value: float) -> None:
        """Book what a stage spent: the drop of its exported result less what was spent before."""
        before = sum(spent for name, spent in self.spent.items() if name is not stage)
        self.spent[stage] = self.drop(value) - before

    @property
    def is_noise(self) -> bool:
        """Return whether the budget is below two samples of the validation split."""
        return self.allowed is not None and self.allowed < _NOISE_SAMPLES * self.resolution

    def status(self) -> BudgetStatus | None:
        """Return the ledger as status shows it; None without a budget."""
        if self.allowed is None:
            return None
        spent = {stage.value: drop for stage, drop in self.spent.items()}
        return BudgetStatus(
            metric=self.metric,
            allowed=self.allowed,
            resolution=self.resolution,
            spent=spent,
            remaining=self.allowed - sum(self.spent.values()),
        )


def open_ledger(spec: Spec, *, baseline: float, validation_samples: int) -> Ledger:
    """Return the ledger of a job, once its baseline is known."""
    primary = spec.objectives[0].metric
    limits = [constraint for constraint in spec.constraints if constraint.metric == primary]
    drops = [constraint.max_drop for constraint in limits if constraint.max_drop is not None]
    drops += [
        constraint.max_drop_ratio * abs(baseline)
        for constraint in limits
        if constraint.max_drop_ratio is not None
    ]
    counts = primary in KNOWN_METRICS and KNOWN_METRICS[primary].unit == "fraction"
    return Ledger(
        objectives=spec.objectives,
        baseline=baseline,
        allowed=min(drops, default=None),
        resolution=1 / validation_samples if counts else 0.0,
    )
