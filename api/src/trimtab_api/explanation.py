"""Why each candidate ships for a target or does not, and why a technique was not built. Pure.

Called by the trainer for the report; every sentence is short and holds the figures that decided.
The decisions themselves are those of `selection` and `techniques`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from trimtab_api.metrics import metric_key
from trimtab_api.reports import CandidateReport, ChoiceOutcome, ChoiceReport
from trimtab_api.selection import (
    TIE,
    Margin,
    Pick,
    describe_constraint,
    find_margins,
    gain_against,
    has_file,
    is_measured,
    list_best,
    list_preferences,
    pick_candidate,
    rank_feasible,
    worsening,
)
from trimtab_api.stages import StageReason
from trimtab_api.techniques import (
    LADDERS,
    LINEAR_SHARE,
    Technique,
    choose_technique,
    describe_technique,
    is_worth_building,
    list_ladder,
    name_candidate,
    runs_on,
    takes,
)
from trimtab_api.v1alpha1.goals import Runtime, Target
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.quantize import QuantizeMethod
from trimtab_api.wording import describe_difference, render_change, render_metric

__all__ = ["explain_choices"]

_SUPERLATIVES = {
    "size_mib": "smallest",
    "latency_p95_ms": "fastest at p95",
    "throughput_per_s": "fastest",
}


@dataclass(frozen=True, slots=True)
class _Contest:
    """All that is known of one target when its candidates are explained."""

    spec: Spec
    target: Target
    baseline: Mapping[str, float]
    candidates: Sequence[CandidateReport]
    pick: Pick | None
    feasible: Sequence[CandidateReport]
    """The preferred one first."""

    @property
    def words(self) -> str:
        return f"{self.target.runtime} on {self.target.device}"


def explain_choices(
    candidates: Sequence[CandidateReport],
    baseline: Mapping[str, float],
    spec: Spec,
    *,
    linear_share: float | None,
) -> tuple[ChoiceReport, ...]:
    """Return per target an entry for each candidate, then for each technique that was not built.

    Args:
        candidates: Judged candidates, as measured last.
        baseline: Metrics of the baseline.
        spec: The expanded spec.
        linear_share: Share of the FLOPs in linear layers; None where it is not known.
    """
    choices: list[ChoiceReport] = []
    for target in spec.targets:
        contest = _Contest(
            spec=spec,
            target=target,
            baseline=baseline,
            candidates=candidates,
            pick=pick_candidate(candidates, baseline, spec, target),
            feasible=rank_feasible(candidates, baseline, spec, target),
        )
        choices += [_explain_candidate(contest, candidate) for candidate in candidates]
        choices += _explain_unbuilt(contest, linear_share)
    return tuple(choices)


def _explain_candidate(contest: _Contest, candidate: CandidateReport) -> ChoiceReport:
    outcome, text = _judge(contest, candidate)
    return ChoiceReport(
        target=contest.target.name, candidate=candidate.id, outcome=outcome, text=text
    )


def _judge(contest: _Contest, candidate: CandidateReport) -> tuple[ChoiceOutcome, str]:
    target, pick = contest.target.name, contest.pick
    if not has_file(candidate, target):
        return ChoiceOutcome.UNBUILT, _describe_lack(contest, candidate)
    if not is_measured(candidate, target):
        return ChoiceOutcome.UNMEASURED, f"has no figures on {target}"
    if pick is not None and candidate.id == pick.candidate.id:
        return ChoiceOutcome.SHIPS, _describe_pick(contest, pick)
    loss = _find_loss(contest, candidate)
    if loss is not None:
        return ChoiceOutcome.REJECTED, loss
    if candidate in contest.feasible:
        return ChoiceOutcome.FEASIBLE, _compare_with_best(contest, candidate)
    margins = find_margins(candidate.metrics, contest.baseline, contest.spec, target)
    return ChoiceOutcome.OVER_LIMIT, _describe_misses(margins, target)


def _find_loss(contest: _Contest, candidate: CandidateReport) -> str | None:
    if candidate.reason is StageReason.NO_GAIN:
        return candidate.rejected or "gains nothing"
    parents = (entry for entry in contest.candidates if entry.id == candidate.parent)
    parent = next(parents, None)
    return gain_against(candidate, parent, contest.target.name) if parent else None


def _describe_pick(contest: _Contest, pick: Pick) -> str:
    if not pick.feasible:
        return f"nearest to the limits: {_describe_misses(pick.margins, pick.target)}"
    which = "that keep every limit" if pick.margins else "that may ship"
    metric = list_preferences(contest.spec, contest.target)[0]
    shown = _compare_with_baseline(contest, pick, metric)
    count = len(contest.feasible)
    if count == 1:
        return f"the only one {which.replace('keep', 'keeps')}: {shown}"
    rival = contest.feasible[1]
    decision = _find_decision(contest, rival)
    if decision.ties:
        tie = _describe_tie(contest, decision, pick.candidate, rival)
        if decision.metric is None:
            return f"{tie}, and made first: {shown}"
        return f"{tie}, and {_differ(contest, decision.metric, pick.candidate, rival)}: {shown}"
    return f"{_SUPERLATIVES.get(metric, f'best {metric}')} of {count} {which}: {shown}"


@dataclass(frozen=True, slots=True)
class _Decision:
    """Why a feasible candidate does not ship."""

    ties: tuple[str, ...]
    """Preferred metrics in which it counts as equal to the best."""
    metric: str | None
    """The next one, in which it does not; None where it is equal in all."""
    best: CandidateReport
    """The best in that metric of those that are equal before; what ships where there is none."""


def _find_decision(contest: _Contest, candidate: CandidateReport) -> _Decision:
    """Walk the preferences as the ranking does."""
    spec, rivals = contest.spec, contest.feasible
    ties: list[str] = []
    for metric in list_preferences(spec, contest.target):
        rivals = list_best(rivals, metric, spec, contest.target)
        if candidate not in rivals:
            key = _key(contest, metric)
            best = min(
                rivals,
                key=lambda entry: worsening(metric, entry.metrics[key], 0.0, spec.objectives),
            )
            return _Decision(tuple(ties), metric, best)
        ties.append(metric)
    return _Decision(tuple(ties), None, contest.feasible[0])


def _describe_tie(
    contest: _Contest, decision: _Decision, mine: CandidateReport, other: CandidateReport
) -> str:
    """Return in what two are equal: `as fast and as large as ID within 3 %`."""
    words = " and ".join(_name_tie(contest, metric) for metric in decision.ties)
    keys = [_key(contest, metric) for metric in decision.ties]
    differ = any(mine.metrics.get(key) != other.metrics.get(key) for key in keys)
    equal = f"{words} as" if decision.metric is not None else "equal to"
    return f"{equal} {other.id}" + (f" within {100 * TIE:g} %" if differ else "")


def _name_tie(contest: _Contest, metric: str) -> str:
    if metric == contest.spec.objectives[0].metric:
        return f"as good in {metric}"
    return describe_difference(metric, 1.0, 1.0)


def _differ(contest: _Contest, metric: str, mine: CandidateReport, other: CandidateReport) -> str:
    key = _key(contest, metric)
    value, reference = mine.metrics.get(key), other.metrics.get(key)
    if value is None or reference is None:
        return f"{metric} was not measured of {mine.id if value is None else other.id}"
    if metric == contest.spec.objectives[0].metric:
        return f"{metric} {render_change(metric, value - reference)}"
    return describe_difference(metric, value, reference)


def _compare_with_baseline(contest: _Contest, pick: Pick, metric: str) -> str:
    key = _key(contest, metric)
    value, reference = pick.candidate.metrics.get(key), contest.baseline.get(key)
    shown = render_metric(metric, value)
    if value is None or reference is None or value == reference:
        return shown
    if metric == contest.spec.objectives[0].metric:
        return f"{shown} ({render_change(metric, value - reference)})"
    return f"{shown}, {describe_difference(metric, value, reference)} than the baseline"


def _compare_with_best(contest: _Contest, candidate: CandidateReport) -> str:
    """Name the first of the preferred metrics in which a candidate is not among the best."""
    decision = _find_decision(contest, candidate)
    best = decision.best
    if decision.metric is None:
        return f"{_describe_tie(contest, decision, candidate, best)}, which was made first"
    difference = _differ(contest, decision.metric, candidate, best)
    if decision.ties:
        return f"{_describe_tie(contest, decision, candidate, best)}, but {difference}"
    against = "against" if decision.metric == contest.spec.objectives[0].metric else "than"
    return f"{difference} {against} {best.id}"


def _key(contest: _Contest, metric: str) -> str:
    primary = contest.spec.objectives[0].metric
    return metric_key(metric, None if metric == primary else contest.target.name)


def _describe_misses(margins: Sequence[Margin], target: str) -> str:
    missed = sorted((entry for entry in margins if not entry.met), key=lambda entry: entry.severity)
    if not missed:
        return "keeps every limit"
    worst = missed[0]
    name = describe_constraint(worst.constraint, target)
    more = f", and {len(missed) - 1} more" if missed[1:] else ""
    if worst.value is None:
        return f"{name} has no figure{more}"
    return f"{name} is missed by {-worst.margin:.3g} ({worst.value:.4g}){more}"


def _describe_lack(contest: _Contest, candidate: CandidateReport) -> str:
    known = [technique for ladder in LADDERS.values() for technique in ladder]
    quantize = contest.spec.stages.quantize
    if quantize is not None and quantize.method is not QuantizeMethod.AUTO:
        known.insert(0, choose_technique(quantize))
    for technique in known:
        if not _is_made_by(candidate, technique):
            continue
        if not runs_on(technique, contest.target):
            return _describe_refusal(contest, technique)
        if (
            contest.target.runtime is Runtime.OPENVINO
            and technique.method is QuantizeMethod.CAST
            and quantize is not None
            and quantize.keep_float
        ):
            return f"{contest.words} stores all weights in 16 bits, quantize.keepFloat forbids it"
    return f"has no file for {contest.words}"


def _describe_refusal(contest: _Contest, technique: Technique) -> str:
    target = contest.target
    if target.runtime is None:
        raise ValueError(f"target {target.name} must be expanded: it has no runtime")
    return f"{contest.words} runs no {describe_technique(technique, takes(target.runtime))}"


def _is_made_by(candidate: CandidateReport, technique: Technique) -> bool:
    return candidate.id == name_candidate(candidate.parent or "", technique)


def _explain_unbuilt(contest: _Contest, linear_share: float | None) -> Iterator[ChoiceReport]:
    quantize = contest.spec.stages.quantize
    if quantize is None:
        return
    is_ladder = quantize.method is QuantizeMethod.AUTO
    rungs = list_ladder(contest.target) if is_ladder else (choose_technique(quantize),)
    for technique in rungs:
        if any(_is_made_by(candidate, technique) for candidate in contest.candidates):
            continue
        if not runs_on(technique, contest.target):
            text = _describe_refusal(contest, technique)
        elif is_ladder and not is_worth_building(technique, linear_share):
            least = f"it takes {100 * LINEAR_SHARE:.0f} %"
            text = f"linear layers hold {100 * (linear_share or 0):.0f} % of the FLOPs, {least}"
        else:
            text = "no model was built with it"
        yield ChoiceReport(
            target=contest.target.name,
            candidate=technique.suffix,
            outcome=ChoiceOutcome.UNBUILT,
            text=text,
        )
