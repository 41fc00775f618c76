"""Which candidate ships: limits, margins, the NoGain rule and each target's pick. Pure.

Evaluated by the trainer for a local run and, in a cluster, by the operator, over the figures of
exported files only. What it decides is put into words by `explanation`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trimtab_api.defaults import PROFILES
from trimtab_api.metrics import KNOWN_METRICS, MetricScope, metric_key
from trimtab_api.reports import CandidateReport, FileReport
from trimtab_api.stages import StageReason
from trimtab_api.techniques import takes
from trimtab_api.v1alpha1.goals import Constraint, Direction, Objective, Prefer, Profile, Target
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.wording import describe_difference

__all__ = [
    "ROUNDING",
    "TIE",
    "Margin",
    "Pick",
    "describe_constraint",
    "file_for",
    "find_margins",
    "find_no_gain",
    "gain_against",
    "has_file",
    "is_measured",
    "list_best",
    "list_preferences",
    "metric_direction",
    "pick_candidate",
    "rank_feasible",
    "worsening",
]

# A limit is kept when it is missed by less than this share of itself: the rounding of floats.
ROUNDING = 1e-9
# Sizes and speeds within this share of the best count as equal: timings repeat no better.
TIE = 0.03


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


def has_file(candidate: CandidateReport, target: str) -> bool:
    """Return whether a candidate was built in the format of a target."""
    return metric_key("size_mib", target) in candidate.metrics


def is_measured(candidate: CandidateReport, target: str) -> bool:
    """Return whether a candidate was built for a target and timed on it."""
    return has_file(candidate, target) and metric_key("latency_p50_ms", target) in candidate.metrics


def file_for(candidate: CandidateReport, target: Target) -> FileReport | None:
    """Return the file of a candidate that an expanded target's runtime takes, if there is one."""
    if target.runtime is None:
        return None
    wanted = takes(target.runtime)
    return next((file for file in candidate.files if file.format == wanted), None)


def gain_against(candidate: CandidateReport, parent: CandidateReport, target: str) -> str | None:
    """Return why a candidate gains nothing over its parent on a target, or None where it does.

    A gain is a smaller file, a smaller compressed file or a lower median latency. Where nothing
    can be compared, nothing speaks against the candidate.
    """
    figures = []
    for metric in ("latency_p50_ms", "size_mib", "size_compressed_mib"):
        key = metric_key(metric, target)
        mine, other = candidate.metrics.get(key), parent.metrics.get(key)
        if mine is None or other is None:
            continue
        if mine < other:
            return None
        figures.append(describe_difference(metric, mine, other))
    if not figures:
        return None
    return f"neither smaller nor faster than {parent.id} on {target}: {', '.join(figures)}"


def find_no_gain(
    candidate: CandidateReport, parent: CandidateReport, targets: Sequence[Target]
) -> str | None:
    """Return why a candidate gains nothing over its parent on any target; None where it does.

    A target whose own Job has not timed the candidate yet may still show a gain.
    """
    losses = [
        gain_against(candidate, parent, target.name)
        if is_measured(candidate, target.name) or not target.is_placed
        else None
        for target in targets
        if has_file(candidate, target.name)
    ]
    return losses[0] if losses and all(losses) else None


def pick_candidate(
    candidates: Sequence[CandidateReport], baseline: Mapping[str, float], spec: Spec, target: Target
) -> Pick | None:
    """Return what ships for a target: the preferred feasible candidate, else the nearest one.

    Preferences are compared as `rank_feasible` says.

    Neither what was not built for the target or not timed on it ships, nor what gains nothing
    there over its parent. The nearest is the one whose worst limit, as a share of itself, is
    missed least.

    Args:
        candidates: Measured candidates, the dense one among them.
        baseline: Metrics of the baseline.
        spec: The job.
        target: An expanded target.

    Returns:
        The pick; None where no candidate has figures on the target.
    """
    picks = _judge_all(candidates, baseline, spec, target)
    feasible = _rank(picks, spec, target)
    if feasible:
        return feasible[0]
    return max(
        picks, key=lambda pick: pick.limiting.severity if pick.limiting else 0.0, default=None
    )


def rank_feasible(
    candidates: Sequence[CandidateReport], baseline: Mapping[str, float], spec: Spec, target: Target
) -> tuple[CandidateReport, ...]:
    """Return what may ship for a target and keeps every limit, the preferred one first.

    Noise shall not decide. Those within 3 % of the best size or speed, and those of the very best
    quality, form a first class, which the next preference ranks in the same way; among equals in
    all the one made first leads. The others follow by value. So what leads by speed is never more
    than 3 % slower than the baseline where that keeps every limit itself.

    Args:
        candidates: As in `pick_candidate`.
        baseline: As there.
        spec: As there.
        target: As there.
    """
    ranked = _rank(_judge_all(candidates, baseline, spec, target), spec, target)
    return tuple(pick.candidate for pick in ranked)


def _rank(picks: Sequence[Pick], spec: Spec, target: Target) -> list[Pick]:
    feasible = {pick.candidate.id: pick for pick in picks if pick.feasible}
    candidates = [pick.candidate for pick in feasible.values()]
    ranked = _order(candidates, list_preferences(spec, target), spec, target)
    return [feasible[candidate.id] for candidate in ranked]


def _order(
    candidates: Sequence[CandidateReport], metrics: Sequence[str], spec: Spec, target: Target
) -> list[CandidateReport]:
    if not metrics or not candidates:
        return list(candidates)
    best = list_best(candidates, metrics[0], spec, target)
    others = [candidate for candidate in candidates if candidate not in best]
    others.sort(key=lambda entry: [_cost(entry, metric, spec, target) for metric in metrics])
    return [*_order(best, metrics[1:], spec, target), *others]


def list_best(
    candidates: Sequence[CandidateReport], metric: str, spec: Spec, target: Target
) -> tuple[CandidateReport, ...]:
    """Return those that count as equally good as the best one, in the order given.

    Args:
        candidates: At least one.
        metric: One of `list_preferences`: within 3 % for a size or a speed, the very best for
            the quality.
        spec: The job.
        target: An expanded target.
    """
    costs = [_cost(candidate, metric, spec, target) for candidate in candidates]
    tie = TIE if metric != spec.objectives[0].metric else 0.0
    # Costs of what is to be maximized are negative: 100 is within 3 % of 103 samples per second.
    lowest = min(costs)
    bound = lowest * (1 + tie) if lowest > 0 else lowest / (1 + tie)
    bound += ROUNDING * abs(lowest)
    return tuple(entry for entry, cost in zip(candidates, costs, strict=True) if cost <= bound)


def _judge_all(
    candidates: Sequence[CandidateReport], baseline: Mapping[str, float], spec: Spec, target: Target
) -> list[Pick]:
    by_name = {candidate.id: candidate for candidate in candidates}
    return [
        _judge(candidate, baseline, spec, target)
        for candidate in candidates
        if is_measured(candidate, target.name)
        and candidate.reason is not StageReason.NO_GAIN
        and not _gains_nothing(candidate, by_name.get(candidate.parent or ""), target)
    ]


def _gains_nothing(
    candidate: CandidateReport, parent: CandidateReport | None, target: Target
) -> bool:
    return parent is not None and gain_against(candidate, parent, target.name) is not None


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


def list_preferences(spec: Spec, target: Target) -> tuple[str, ...]:
    """Return the metrics that decide among feasible candidates; later ones break ties of 3 %."""
    quality = spec.objectives[0].metric
    speed = PROFILES[target.profile or Profile.CPU_SERVER].speed_metric
    match target.prefer:
        case Prefer.SIZE:
            return ("size_mib", speed, quality)
        case Prefer.ACCURACY:
            return (quality, speed, "size_mib")
        case Prefer.SPEED | None:
            return (speed, "size_mib", quality)


def _cost(candidate: CandidateReport, metric: str, spec: Spec, target: Target) -> float:
    maximize = metric_direction(metric, spec.objectives) is Direction.MAXIMIZE
    on_target = metric != spec.objectives[0].metric
    value = candidate.metrics.get(metric_key(metric, target.name if on_target else None))
    if value is None:
        return float("inf")
    return -value if maximize else value
