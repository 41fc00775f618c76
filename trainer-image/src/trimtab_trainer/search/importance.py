"""How much each parameter matters for an objective, told from the trials of a search.

Called by the stage when the search ended, for the report. It looks at values only; what a
parameter should be is the study's to find out.
"""

import importlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import create_trial

from trimtab_api.reports import ImportanceReport, TrialReport
from trimtab_api.v1alpha1.goals import Objective
from trimtab_api.v1alpha1.search import Parameter
from trimtab_api.v1alpha1.status import TrialState
from trimtab_trainer.search.space import Space
from trimtab_trainer.search.studies import create_study

__all__ = ["rank_parameters"]

_FEWEST = 8
"""Fewer trials tell nothing of several parameters."""

_TREES = 32
_DEPTH = 5
"""Deeper trees change the shares by less than the seed does, and cost seconds at 1,000 trials."""


def rank_parameters(
    trials: Sequence[TrialReport],
    parameters: Sequence[Parameter],
    objectives: Sequence[Objective],
    *,
    seed: int,
) -> tuple[ImportanceReport, ...]:
    """Return, for each objective whose values differ, the share of each parameter in that.

    Hutter et al. 2014, "An Efficient Approach for Assessing Hyperparameter Importance" (fANOVA),
    as optuna has it: main effects over the whole space, in a random forest. Its cheaper relative
    PED-ANOVA asks another question, what it takes to be among the best tenth, and of a typical
    search a tenth are two trials.

    Args:
        trials: Ended trials of this space; only those that succeeded count.
        parameters: What was searched.
        objectives: Whose values are explained.
        seed: Of the forest; with it the shares are reproducible.

    Returns:
        One entry per objective, in their order; none where fewer than 8 trials succeeded.
    """
    succeeded = [trial for trial in trials if trial.state is TrialState.SUCCEEDED]
    space = Space(parameters)
    varied = {name: dist for name, dist in space.distributions.items() if not dist.single()}
    if len(succeeded) < _FEWEST or not varied:
        return ()
    points = [space.encode(trial.parameters) for trial in succeeded]
    reports = (
        _rank(points, [trial.values[objective.metric] for trial in succeeded], varied, seed)
        for objective in objectives
    )
    return tuple(
        ImportanceReport(metric=objective.metric, shares=shares)
        for objective, shares in zip(objectives, reports, strict=True)
        if shares
    )


def _rank(
    points: Sequence[Mapping[str, Any]],
    values: Sequence[float],
    distributions: Mapping[str, BaseDistribution],
    seed: int,
) -> dict[str, float]:
    """Return parameter → share, largest first; nothing where all values are equal."""
    if min(values) == max(values):
        return {}
    study = create_study()
    flat = {name: _flatten(dist) for name, dist in distributions.items()}
    study.add_trials(
        create_trial(
            value=value,
            params={name: _place(dist, point[name]) for name, dist in distributions.items()},
            distributions=flat,
        )
        for point, value in zip(points, values, strict=True)
    )
    # Imported here because it brings scikit-learn, and no start of a run should wait for that.
    library = importlib.import_module("optuna.importance")
    evaluator = library.FanovaImportanceEvaluator(n_trees=_TREES, max_depth=_DEPTH, seed=seed)
    shares: Mapping[str, float] = library.get_param_importances(study, evaluator=evaluator)
    ordered = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    return {name: float(share) for name, share in ordered}


def _is_log(distribution: BaseDistribution) -> bool:
    return isinstance(distribution, FloatDistribution | IntDistribution) and distribution.log


def _flatten(distribution: BaseDistribution) -> BaseDistribution:
    """Return a range in which equal distances are equally likely: fANOVA averages over those."""
    if isinstance(distribution, FloatDistribution | IntDistribution) and distribution.log:
        return FloatDistribution(math.log(distribution.low), math.log(distribution.high))
    return distribution


def _place(distribution: BaseDistribution, value: Any) -> Any:
    return math.log(value) if _is_log(distribution) else value
