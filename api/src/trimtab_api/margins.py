"""How far what would ship is from the limits of its targets, small enough for the report. Pure.

Called by the driver for what it measured and by `outcome` for targets with a Job of their own.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from trimtab_api.reports import CandidateReport
from trimtab_api.selection import Margin, pick_candidate
from trimtab_api.v1alpha1._base import ApiModel
from trimtab_api.v1alpha1._types import MetricName, TargetName
from trimtab_api.v1alpha1.goals import Constraint, Target
from trimtab_api.v1alpha1.job import Spec

__all__ = ["MOST_MARGINS", "LimitKind", "LimitMargin", "list_margins"]

MOST_MARGINS = 128
"""Each limit of a job on each of its targets."""


class LimitKind(StrEnum):
    """Kinds of limits, as the manifest spells them."""

    MAX = "max"
    MIN = "min"
    MAX_DROP = "maxDrop"
    MAX_DROP_RATIO = "maxDropRatio"
    MIN_GAIN = "minGain"
    MIN_GAIN_RATIO = "minGainRatio"


class LimitMargin(ApiModel):
    """The distance of a target's pick to one limit."""

    metric: MetricName
    """What the limit is on."""
    target: TargetName
    """Where it holds."""
    limit: LimitKind
    """Its kind."""
    value: float
    """Distance in the unit of the limit; negative = missed."""


def list_margins(
    candidates: Sequence[CandidateReport],
    baseline: Mapping[str, float],
    spec: Spec,
    targets: Sequence[Target],
) -> tuple[LimitMargin, ...]:
    """Return the margins of what would ship now for each target; those not measured are left out.

    Where two limits are alike in metric and kind, the one that is nearer to being missed counts.

    Args:
        candidates: Measured candidates, the dense one among them.
        baseline: Metrics of the dense model.
        spec: The job, expanded.
        targets: Those of its targets that are asked for.
    """
    picks = [pick_candidate(candidates, baseline, spec, target) for target in targets]
    margins: dict[tuple[str, str, LimitKind], LimitMargin] = {}
    for entry in _summarize([margin for pick in picks if pick for margin in pick.margins]):
        key = (entry.metric, entry.target, entry.limit)
        if key not in margins or entry.value < margins[key].value:
            margins[key] = entry
    return tuple(margins.values())[:MOST_MARGINS]


def _summarize(margins: Sequence[Margin]) -> Iterator[LimitMargin]:
    for margin in margins:
        if margin.value is not None:
            yield LimitMargin(
                metric=margin.constraint.metric,
                target=margin.target,
                limit=_kind_of(margin.constraint),
                value=margin.margin,
            )


def _kind_of(constraint: Constraint) -> LimitKind:
    field = constraint.chosen()
    return LimitKind(type(constraint).model_fields[field].alias or field)
