"""Search guided by a Gaussian process: optuna's, shown also what it would not look at by itself.

Made by `samplers` for one draw. Optuna's Gaussian process learns from complete trials only, so
it would go back again and again to where trials run out of memory or diverge: it knows nothing
of that region, and what is unknown attracts it. Here such trials get a value, and stopped ones
keep their last.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import optuna
import torch
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from typing_extensions import override

from trimtab_trainer.search.studies import create_study

__all__ = ["GaussianProcessSampler"]

_LARGEST = 1e100
"""Squares of larger values overflow."""


class GaussianProcessSampler(BaseSampler):
    """One draw of a Gaussian process with Matérn kernel and expected improvement.

    Running trials count as pending ones, so that parallel trials differ.

    Args:
        distributions: All parameters.
        limits: Names of the constraints that complete trials have.
        seed: Of this draw.
        startup_trials: Trials with a value before the model guides; until then draws are random.
    """

    def __init__(
        self,
        distributions: Mapping[str, BaseDistribution],
        *,
        limits: Sequence[str],
        seed: int,
        startup_trials: int,
    ) -> None:
        self._distributions = dict(distributions)
        self._limits = limits
        self._seed = seed
        self._startup_trials = startup_trials

    @override
    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._distributions

    @override
    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        sampler = GPSampler(
            seed=self._seed,
            n_startup_trials=self._startup_trials,
            # Trainings with equal parameters and different seeds differ.
            deterministic_objective=False,
            warn_independent_sampling=False,
        )
        view = create_study(study.directions, sampler)
        others = [other for other in study.get_trials(deepcopy=False) if other.params]
        view.add_trials(_view_trials(others, study.directions, self._limits))
        with _one_thread():
            return view.ask(search_space).params

    @override
    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        random = RandomSampler(seed=self._seed)
        return random.sample_independent(study, trial, param_name, param_distribution)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Optuna does so in its inner loops only; on a busy machine the rest then takes seconds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _view_trials(
    trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection], limits: Sequence[str]
) -> Iterator[FrozenTrial]:
    """Yield running trials as they are, and as complete ones all whose end tells of their point."""
    measured = [values for trial in trials if (values := _measured(trial)) is not None]
    for trial in trials:
        if not trial.state.is_finished():
            yield trial
            continue
        values = _measured(trial) or _stand_in(trial, measured, directions, limits)
        if values is not None:
            yield create_trial(
                state=TrialState.COMPLETE,
                values=np.clip(values, -_LARGEST, _LARGEST).tolist(),
                params=trial.params,
                distributions=trial.distributions,
                # The model of a limit needs a value of every trial; 0 is the edge of the limit.
                constraints={name: trial.constraints.get(name, 0.0) for name in limits},
            )


def _measured(trial: FrozenTrial) -> list[float] | None:
    """Return the values of a trial; of a stopped one, those at which it was stopped."""
    if trial.state is TrialState.PRUNED and trial.last_step is not None:
        return [trial.intermediate_values[trial.last_step]]
    return trial.values if trial.state is TrialState.COMPLETE else None


def _stand_in(
    trial: FrozenTrial,
    measured: Sequence[Sequence[float]],
    directions: Sequence[StudyDirection],
    limits: Sequence[str],
) -> list[float] | None:
    """Return values for a trial that ended without any, None where its end tells nothing.

    Where a limit's own model sees how far the trial is past it, its values are those of the mean
    trial, which says nothing; a bad value would scare the search away from the limit, where the
    best points often lie. Where nothing else tells of the trial, its values are the worst.
    """
    broken = {name for name, excess in trial.constraints.items() if excess > 0}
    if not broken or not measured:
        return None
    columns = np.asarray(measured).T
    if broken & set(limits):
        return [float(column.mean()) for column in columns]
    return [
        float(column.max() if direction is StudyDirection.MINIMIZE else column.min())
        for column, direction in zip(columns, directions, strict=True)
    ]
