"""SEAM of optuna: which point to try next, given what was tried.

An in-memory study, driven by the search loop and rebuilt from the trial log at every start. It
proposes and remembers; when to ask and what a trial's result is worth is the loop's to say. The
same seed and the same history give the same proposal, whether or not a restart lies between.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import TrialState as OptunaState
from optuna.trial import create_trial

from trimtab_api.reports import TrialReport
from trimtab_api.v1alpha1.goals import Direction, Objective
from trimtab_api.v1alpha1.search import Parameter, SearchAlgorithm
from trimtab_api.v1alpha1.status import TrialState
from trimtab_trainer.errors import TrialLogCorruptError
from trimtab_trainer.search.records import TrialRecord
from trimtab_trainer.search.samplers import build_sampler
from trimtab_trainer.search.seeds import derive_seed
from trimtab_trainer.search.space import Point, Space

__all__ = ["Proposal", "Study"]

_DRAWS = 8
"""Draws of the sampler for one trial before a point that was tried is replaced by another."""

_ENUMERATED = 20_000
"""Up to this size the untried points are listed; in larger spaces most points are untried."""

_DIRECTIONS = {
    Direction.MAXIMIZE: StudyDirection.MAXIMIZE,
    Direction.MINIMIZE: StudyDirection.MINIMIZE,
}

_Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A trial to run."""

    number: int
    """Counted from 0 over the whole study."""
    parameters: Point


class Study:
    """Proposals for one search; not safe to share between threads.

    Args:
        parameters: What is searched.
        algorithm: How points are chosen.
        objectives: What values of `tell` mean, in this order.
        seed: The job's.
        num_trials: Trials in all, those that failed included.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        *,
        algorithm: SearchAlgorithm,
        objectives: Sequence[Objective],
        seed: int,
        num_trials: int,
    ) -> None:
        self._space = Space(parameters)
        self._algorithm = algorithm
        self._objectives = tuple(objectives)
        self._seed = seed
        self._num_trials = num_trials
        # Optuna tells every trial in words of its own, which the reporter does better.
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(
            directions=[_DIRECTIONS[objective.direction] for objective in objectives],
            sampler=build_sampler(algorithm, seed, 0, 0),
        )
        self._grid = self._space.points() if algorithm.grid is not None else None
        self._optuna_numbers: dict[int, int] = {}
        self._tried: set[_Key] = set()
        self._again: list[Proposal] = []
        self._next = 0

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Return what the search optimizes, the primary one first."""
        return self._objectives

    def replay(self, records: Sequence[TrialRecord]) -> None:
        """Take over what earlier starts of the run recorded; before the first ask.

        Trials that ran when the last record was written are proposed again, first and with
        equal parameters.

        Raises:
            TrialLogCorruptError: A trial is recorded twice, or one is missing.
            StudyMismatchError: A point is not in the space.
        """
        ended = {record.trial.number: record.trial for record in records}
        running = dict(records[-1].running) if records else {}
        total = len(records) + len(running)
        if sorted([*ended, *running]) != list(range(total)):
            raise TrialLogCorruptError(
                f"the trial log must hold each of trials 0 to {total - 1} once but has ended"
                f" {sorted(record.trial.number for record in records)}, running {sorted(running)}"
            )
        for number in range(total):
            if number in ended:
                self._enter_ended(ended[number])
            else:
                self._enter(number, running[number])
                self._again.append(Proposal(number, dict(running[number])))
        if self._grid is not None:
            self._grid = itertools.islice(self._grid, total, None)

    def _enter_ended(self, trial: TrialReport) -> None:
        if trial.state is TrialState.SUCCEEDED:
            values = self._order(trial.values)
            self._enter(trial.number, trial.parameters, OptunaState.COMPLETE, values)
        else:
            self._enter(trial.number, trial.parameters, OptunaState.FAIL)

    def ask(self) -> Proposal | None:
        """Return the next trial to run; None when all trials, or all points, were asked for."""
        if self._again and self._again[0].number < self._num_trials:
            return self._again.pop(0)
        if self._next >= self._num_trials or self._is_exhausted():
            return None
        number = self._next
        if self._grid is None:
            return Proposal(number, self._draw(number))
        point = next(self._grid, None)
        if point is None:
            return None
        self._enter(number, point)
        return Proposal(number, point)

    def _is_exhausted(self) -> bool:
        return self._space.size is not None and len(self._tried) >= self._space.size

    def tell(self, number: int, values: Mapping[str, float] | None) -> None:
        """Say how a trial ended.

        Args:
            number: A trial that was asked for and not told yet.
            values: Objective → value; None for a trial that failed.

        Raises:
            ValueError: A value is NaN or infinite: optuna would take infinities for results.
        """
        if values is None:
            self._study.tell(self._optuna_numbers[number], state=OptunaState.FAIL)
            return
        if not all(math.isfinite(value) for value in values.values()):
            raise ValueError(f"values of trial {number} must be finite but got {values}")
        self._study.tell(self._optuna_numbers[number], self._order(values))

    def _order(self, values: Mapping[str, float]) -> list[float]:
        return [values[objective.metric] for objective in self._objectives]

    def _draw(self, number: int) -> Point:
        """Ask the sampler for a point that was not tried yet."""
        for draw in range(_DRAWS):
            self._study.sampler = build_sampler(self._algorithm, self._seed, number, draw)
            trial = self._study.ask(self._space.distributions)
            point = self._space.decode(trial.params)
            if self._space.size is None or self._key(point) not in self._tried:
                self._note(number, trial.number, point)
                return point
            # A failed trial guides no sampler, so the draw leaves no trace.
            self._study.tell(trial.number, state=OptunaState.FAIL)
        point = self._pick_untried(derive_seed(self._seed, number, _DRAWS))
        self._enter(number, point)
        return point

    def _pick_untried(self, seed: int) -> Point:
        if self._space.size is not None and self._space.size <= _ENUMERATED:
            untried = list(self._untried(self._space.points()))
            return untried[np.random.default_rng(seed).integers(len(untried))]
        return next(self._untried(self._space.random_points(seed)))

    def _untried(self, points: Iterator[Point]) -> Iterator[Point]:
        return (point for point in points if self._key(point) not in self._tried)

    def _enter(
        self,
        number: int,
        point: Point,
        state: OptunaState = OptunaState.RUNNING,
        values: Sequence[float] | None = None,
    ) -> None:
        """Put a trial into optuna's study without asking its sampler."""
        trial = create_trial(
            state=state,
            values=values,
            params=self._space.encode(point),
            distributions=self._space.distributions,
        )
        self._study.add_trial(trial)
        self._note(number, len(self._study.get_trials(deepcopy=False)) - 1, point)

    def _note(self, number: int, optuna_number: int, point: Point) -> None:
        self._optuna_numbers[number] = optuna_number
        self._tried.add(self._key(point))
        self._next = number + 1

    def _key(self, point: Point) -> _Key:
        return tuple(self._space.encode(point).values())
