"""Ways to search a table: our study as the search loop drives it, and Optuna's samplers.

Called by the search benchmark, in processes of its own. A run is what its trials are worth; what
runs amount to is `search_statistics`' to say.
"""

from dataclasses import dataclass
from enum import StrEnum

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler

from bench.hpo_tables import Table, load_table
from trimtab_api.reports import TrialReport
from trimtab_api.v1alpha1.goals import Direction
from trimtab_api.v1alpha1.search import Bayesian, Grid, Random, SearchAlgorithm, Surrogate
from trimtab_api.v1alpha1.status import TrialState
from trimtab_trainer.search.study import Study

__all__ = ["STARTUP", "Method", "Run", "Task", "drive"]

STARTUP = 10
"""Random trials at the start, for ours and for Optuna's."""


class Method(StrEnum):
    """A way to search."""

    OUR_GRID = "ours, grid"
    OUR_RANDOM = "ours, random"
    OUR_TPE = "ours, TPE"
    OUR_GP = "ours, GP"
    OPTUNA_RANDOM = "Optuna, random"
    OPTUNA_TPE = "Optuna, TPE"
    OPTUNA_GP = "Optuna, GP"


_ALGORITHMS = {
    Method.OUR_GRID: SearchAlgorithm(grid=Grid()),
    Method.OUR_RANDOM: SearchAlgorithm(random=Random()),
    Method.OUR_TPE: SearchAlgorithm(bayesian=Bayesian(startup_trials=STARTUP)),
    Method.OUR_GP: SearchAlgorithm(
        bayesian=Bayesian(surrogate=Surrogate.GAUSSIAN_PROCESS, startup_trials=STARTUP)
    ),
}


@dataclass(frozen=True, slots=True)
class Task:
    """One run: a method on a table with a seed."""

    table: str
    method: Method
    seed: int
    trials: int


Run = tuple[int, ...]
"""Rank in the table of each trial, 0 for the best point."""


def drive(task: Task) -> Run:
    """Search a table and return what was found, trial by trial."""
    table = load_table(task.table)
    if task.method in _ALGORITHMS:
        return _drive_ours(table, task)
    return _drive_optuna(table, task)


def _drive_ours(table: Table, task: Task) -> Run:
    study = Study(
        [axis.parameter for axis in table.axes],
        algorithm=_ALGORITHMS[task.method],
        objectives=(table.objective,),
        seed=task.seed,
        num_trials=task.trials,
    )
    run = []
    while (proposal := study.ask()) is not None:
        place = table.find(proposal.parameters)
        run.append(int(table.ranks[place]))
        study.tell(
            TrialReport(
                number=proposal.number,
                state=TrialState.SUCCEEDED,
                parameters=proposal.parameters,
                values={table.objective.metric: float(table.values[place])},
                seconds=0.0,
            )
        )
    return tuple(run)


def _drive_optuna(table: Table, task: Task) -> Run:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    is_maximized = table.objective.direction is Direction.MAXIMIZE
    study = optuna.create_study(
        direction="maximize" if is_maximized else "minimize",
        sampler=_build_sampler(task.method, task.seed),
    )
    distributions: dict[str, BaseDistribution] = {
        axis.name: IntDistribution(0, len(axis.choices) - 1)
        if axis.is_ordered
        else CategoricalDistribution(axis.choices)
        for axis in table.axes
    }
    run = []
    for _ in range(task.trials):
        trial = study.ask(distributions)
        place = table.find(trial.params)
        run.append(int(table.ranks[place]))
        study.tell(trial, float(table.values[place]))
    return tuple(run)


def _build_sampler(method: Method, seed: int) -> BaseSampler:
    match method:
        case Method.OPTUNA_RANDOM:
            return RandomSampler(seed=seed)
        case Method.OPTUNA_TPE:
            return TPESampler(seed=seed, n_startup_trials=STARTUP)
        case Method.OPTUNA_GP:
            return GPSampler(seed=seed, n_startup_trials=STARTUP)
        case _:
            raise ValueError(f"a method of Optuna is expected but got {method}")
