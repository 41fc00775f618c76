"""Which candidate ships: limits, margins, the NoGain rule and each target's pick. Pure.

Evaluated by the trainer for a local run and, in a cluster, by the operator, over the figures of
exported files only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trimtab_api.defaults import PROFILES
from trimtab_api.metrics import KNOWN_METRICS, MetricScope, metric_key
from trimtab_api.reports import CandidateReport
from trimtab_api.stages import StageReason
from trimtab_api.v1alpha1.goals import Constraint, Direction, Objective, Prefer, Profile, Target
from trimtab_api.v1alpha1.job import Spec

__all__ = [
    "ROUNDING",
    "Margin",
    "Pick",
    "describe_constraint",
    "find_margins",
    "gain_against",
    "metric_direction",
    "pick_candidate",
    "worsening",
]

# A limit is kept when it is missed by less than this share of itself: the rounding of floats.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Margin:
    """How far a candidate is from one limit on one target."""

    constraint: Constraint
    target: str
    value: float | None
    """The candidate's figure that the limit is about; None where it was not measured."""
    limit: float
    margin: float
    """Distance to the limit in the figure's unit; negative = missed."""

    @property
    def met(self) -> bool:
        """Return whether the limit is kept."""
        return self.value is not None and self.margin >= -ROUNDING * max(1.0, abs(self.limit))

    @property
    def severity(self) -> float:
        """Return the margin as a share of the limit, so that different units can be compared."""
        if self.value is None:
            return float("-inf")
        return self.margin / abs(self.limit) if self.limit else self.margin


@dataclass(frozen=True, slots=True)
class Pick:
    """What ships for one target."""

    target: str
    candidate: CandidateReport
    feasible: bool
    limiting: Margin | None
    """The limit missed most or nearest to being missed; None without limits."""
    margins: tuple[Margin, ...]


def metric_direction(metric: str, objectives: Sequence[Objective]) -> Direction:
    """Return which way a metric improves.

    Raises:
        KeyError: It is neither a known metric nor an objective.
    """
    if metric in KNOWN_METRICS:
        return KNOWN_METRICS[metric].direction
    return {objective.metric: objective.direction for objective in objectives}[metric]


def worsening(metric: str, value: float, baseline: float, objectives: Sequence[Objective]) -> float:
    """Return by how much a value is worse than the baseline's; negative where it is better."""
    drop = baseline - value
    return drop if metric_direction(metric, objectives) is Direction.MAXIMIZE else -drop


def find_margins(
    metrics: Mapping[str, float], baseline: Mapping[str, float], spec: Spec, target: str
) -> tuple[Margin, ...]:
    """Return the margin of each limit that holds on a target, in the manifest's order.

    Args:
        metrics: The candidate's, keys `metric` and `metric@target`.
        baseline: The baseline's, same keys.
        spec: The job.
        target: Name of the target.
    """
    return tuple(
        _margin(constraint, metrics, baseline, spec, target)
        for constraint in spec.constraints
        if constraint.target in {None, target}
    )


def _margin(
    constraint: Constraint,
    metrics: Mapping[str, float],
    baseline: Mapping[str, float],
    spec: Spec,
    target: str,
) -> Margin:
    known = KNOWN_METRICS.get(constraint.metric)
    on_target = known is not None and known.scope is MetricScope.TARGET
    key = metric_key(constraint.metric, target if on_target else None)
    kind = constraint.chosen()
    limit: float = getattr(constraint, kind)
    value, reference = metrics.get(key), baseline.get(key)
    if value is None or (reference is None and kind not in {"max", "min"}):
        return Margin(constraint, target, None, limit, float("-inf"))
    if kind == "max":
        return Margin(constraint, target, value, limit, limit - value)
    if kind == "min":
        return Margin(constraint, target, value, limit, value - limit)
    drop = worsening(constraint.metric, value, reference or 0.0, spec.objectives)
    if kind.endswith("ratio"):
        drop = drop / abs(reference) if reference else 0.0
    figure = drop if kind.startswith("max_drop") else -drop
    margin = limit - figure if kind.startswith("max_drop") else figure - limit
    return Margin(constraint, target, figure, limit, margin)


def describe_constraint(constraint: Constraint, target: str | None = None) -> str:
    """Return a limit in words, such as `accuracy maxDrop 0.01` or `size_mib@edge max 20`."""
    kind = constraint.chosen()
    alias = type(constraint).model_fields[kind].alias
    where = constraint.target or target
    known = KNOWN_METRICS.get(constraint.metric)
    on_target = known is not None and known.scope is MetricScope.TARGET
    return f"{metric_key(constraint.metric, where if on_target else None)} {alias} {getattr(constraint, kind):g}"


def gain_against(candidate: CandidateReport, parent: CandidateReport, target: str) -> str | None:
    """Return why a candidate gains nothing over its parent on a target, or None where it does.

    A gain is a smaller file, a smaller compressed file or a lower median latency.
    """
    figures = []
    for metric, unit in (
        ("size_mib", "MiB"),
        ("size_compressed_mib", "MiB"),
        ("latency_p50_ms", "ms"),
    ):
        key = metric_key(metric, target)
        mine, other = candidate.metrics.get(key), parent.metrics.get(key)
        if mine is None or other is None:
            continue
        if mine < other:
            return None
        figures.append(f"{metric} {mine:.3g} against {other:.3g} {unit}")
    return f"neither smaller nor faster than {parent.id} on {target}: {', '.join(figures)}"


def pick_candidate(
    candidates: Sequence[CandidateReport], baseline: Mapping[str, float], spec: Spec, target: Target
) -> Pick:
    """Return what ships for a target: the preferred feasible candidate, else the nearest one.

    A candidate without gain never ships. The nearest is the one whose worst limit, as a share of
    itself, is missed least.

    Args:
        candidates: Measured candidates, the dense one among them.
        baseline: Metrics of the baseline.
        spec: The job.
        target: An expanded target.
    """
    picks = [
        _judge(candidate, baseline, spec, target)
        for candidate in candidates
        if candidate.reason is not StageReason.NO_GAIN
    ]
    feasible = [pick for pick in picks if pick.feasible]
    if feasible:
        return min(feasible, key=lambda pick: _preference(pick.candidate, spec, target))
    return max(picks, key=lambda pick: pick.limiting.severity if pick.limiting else 0.0)


def _judge(
    candidate: CandidateReport, baseline: Mapping[str, float], spec: Spec, target: Target
) -> Pick:
    margins = find_margins(candidate.metrics, baseline, spec, target.name)
    limiting = min(margins, key=lambda margin: margin.severity, default=None)
    return Pick(
        target=target.name,
        candidate=candidate,
        feasible=all(margin.met for margin in margins),
        limiting=limiting,
        margins=margins,
    )


def _preference(candidate: CandidateReport, spec: Spec, target: Target) -> tuple[float, ...]:
    """Return what to minimize, by the target's preference; later entries break ties."""
    primary = spec.objectives[0]
    quality = candidate.metrics.get(primary.metric, float("nan"))
    quality = -quality if primary.direction is Direction.MAXIMIZE else quality
    speed_metric = PROFILES[target.profile or Profile.CPU_SERVER].speed_metric
    speed = candidate.metrics.get(metric_key(speed_metric, target.name), float("inf"))
    speed = -speed if KNOWN_METRICS[speed_metric].direction is Direction.MAXIMIZE else speed
    size = candidate.metrics.get(metric_key("size_mib", target.name), float("inf"))
    match target.prefer:
        case Prefer.SIZE:
            return (size, speed, quality)
        case Prefer.ACCURACY:
            return (quality, speed, size)
        case Prefer.SPEED | None:
            return (speed, size, quality)
