"""SEAM of optuna: which point to try next, given what was tried.

An in-memory study, driven by the search loop and rebuilt from the trial log at every start. It
proposes and remembers; when to ask and what a trial's result is worth is the loop's to say. The
same seed and the same history give the same proposal, whether or not a restart lies between.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from optuna.samplers import RandomSampler
from optuna.study import StudyDirection
from optuna.trial import Trial, create_trial
from optuna.trial import TrialState as OptunaState

from trimtab_api.feasibility import TrialLimit
from trimtab_api.reports import TrialReport
from trimtab_api.v1alpha1._types import Scalar
from trimtab_api.v1alpha1.goals import Direction, Objective
from trimtab_api.v1alpha1.search import Parameter, SearchAlgorithm, Surrogate
from trimtab_trainer.errors import TrialLogCorruptError
from trimtab_trainer.search.outcomes import describe_outcome
from trimtab_trainer.search.records import TrialRecord
from trimtab_trainer.search.samplers import build_sampler
from trimtab_trainer.search.seeds import derive_seed
from trimtab_trainer.search.space import Point, Space
from trimtab_trainer.search.studies import create_study
from trimtab_trainer.search.warm_start import complete_points

__all__ = ["Proposal", "Study"]

_DRAWS = 8
"""Draws of the sampler for one trial before a point that was tried is replaced by another."""

_GAUSSIAN_DRAWS = 1
"""The same for a Gaussian process: its next draw is dear and almost always the same point."""

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
        objectives: What is optimized, the primary one first.
        limits: What a trial's metrics can break; guides all but grid and random search.
        seed: The job's.
        num_trials: Trials in all, those that failed included.
        points: Tried first, in this order; what one leaves out is drawn.
        known: Results of an earlier job, the same at every start. They guide the search; those
            that are no point of this space or lack an objective are left out. Their points may
            be tried again, because this job has no weights of them.

    Raises:
        UserError: A value of `points` is not in the space.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        *,
        algorithm: SearchAlgorithm,
        objectives: Sequence[Objective],
        limits: Sequence[TrialLimit] = (),
        seed: int,
        num_trials: int,
        points: Sequence[Mapping[str, Scalar]] = (),
        known: Sequence[TrialReport] = (),
    ) -> None:
        self._space = Space(parameters)
        self._algorithm = algorithm
        self._objectives = tuple(objectives)
        self._limits = tuple(limits)
        self._seed = seed
        self._num_trials = num_trials
        self._draws = _GAUSSIAN_DRAWS if _is_gaussian(algorithm) else _DRAWS
        self._study = create_study([_DIRECTIONS[objective.direction] for objective in objectives])
        self._points = complete_points(points, self._space, seed=seed)
        self._grid = self._space.points() if algorithm.grid is not None else None
        self._running: dict[int, Trial] = {}
        self._tried: set[_Key] = set()
        self._again: list[Proposal] = []
        self._next = 0
        self._known = tuple(trial for trial in known if self._learn(trial))

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Return what the search optimizes, the primary one first."""
        return self._objectives

    @property
    def num_trials(self) -> int:
        """Return how many trials there are to be in all."""
        return self._num_trials

    def resize(self, num_trials: int) -> None:
        """Change how many trials there are to be in all; those that run are not touched."""
        self._num_trials = num_trials

    @property
    def known(self) -> tuple[TrialReport, ...]:
        """Return those results of an earlier job that guide the search."""
        return self._known

    @property
    def pending(self) -> dict[int, Point]:
        """Return number → parameters of the trials that were proposed and not told yet.

        Those of an earlier start that wait for their turn are among them.
        """
        return {number: self._space.decode(trial.params) for number, trial in self._running.items()}

    def _learn(self, trial: TrialReport) -> bool:
        """Take a result of an earlier job; return whether it says something here."""
        point = self._space.admit(trial.parameters)
        if point is None or any(entry.metric not in trial.values for entry in self._objectives):
            return False
        self._enter_ended(trial, point)
        return True

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
                self._enter_ended(ended[number], ended[number].parameters)
                self._note(number, ended[number].parameters)
            else:
                self._enter(number, running[number])
                self._again.append(Proposal(number, dict(running[number])))

    def ask(self) -> Proposal | None:
        """Return the next trial to run; None when all trials, or all points, were asked for."""
        if self._again and self._again[0].number < self._num_trials:
            return self._again.pop(0)
        number = self._next
        if number >= self._num_trials:
            return None
        listed = self._next_listed()
        if listed is not None:
            self._enter(number, listed)
            return Proposal(number, listed)
        if self._grid is not None or self._is_exhausted():
            return None
        return Proposal(number, self._draw(number))

    def _next_listed(self) -> Point | None:
        """Return the next point that the user listed, or else the grid."""
        for point in self._points:
            if self._key(point) not in self._tried:
                return dict(point)
        return next(self._untried(self._grid), None) if self._grid is not None else None

    def _is_exhausted(self) -> bool:
        return self._space.size is not None and len(self._tried) >= self._space.size

    def tell(self, trial: TrialReport) -> None:
        """Say how a trial ended.

        Args:
            trial: One that was asked for and not told yet.

        Raises:
            ValueError: A value is NaN or infinite: optuna would take infinities for results.
        """
        outcome = describe_outcome(trial, self._objectives, self._limits)
        told = self._running.pop(trial.number)
        for epoch, value in outcome.epochs.items():
            told.report(value, epoch)
        for name, excess in outcome.constraints.items():
            told.set_constraint(name, excess)
        self._study.tell(told, outcome.values, state=outcome.state)

    def _draw(self, number: int) -> Point:
        """Ask the sampler for a point that was not tried yet."""
        point: Point = {}
        for draw in range(self._draws):
            self._study.sampler = build_sampler(
                self._algorithm,
                self._space,
                self._limits,
                seed=self._seed,
                number=number,
                draw=draw,
            )
            trial = self._study.ask(self._space.distributions)
            point = self._space.decode(trial.params)
            if self._space.size is None or self._key(point) not in self._tried:
                self._running[number] = trial
                self._note(number, point)
                return point
            # A failed trial guides no sampler, so the draw leaves no trace.
            self._study.tell(trial, state=OptunaState.FAIL)
        point = self._pick_untried(point, derive_seed(self._seed, number, self._draws))
        self._enter(number, point)
        return point

    def _pick_untried(self, drawn: Point, seed: int) -> Point:
        """Return an untried point: near the one that was drawn, unless draws are independent."""
        if self._algorithm.bayesian is not None:
            nearest = next(self._untried(self._space.neighbours(drawn, seed)), None)
            if nearest is not None:
                return nearest
        if self._space.size is not None and self._space.size <= _ENUMERATED:
            untried = list(self._untried(self._space.points()))
            return untried[np.random.default_rng(seed).integers(len(untried))]
        return next(self._untried(self._space.random_points(seed)))

    def _untried(self, points: Iterator[Point]) -> Iterator[Point]:
        return (point for point in points if self._key(point) not in self._tried)

    def _enter(self, number: int, point: Point) -> None:
        """Put a running trial into optuna's study without a word of the sampler."""
        self._study.sampler = RandomSampler()
        self._study.enqueue_trial(self._space.encode(point))
        self._running[number] = self._study.ask(self._space.distributions)
        self._note(number, point)

    def _enter_ended(self, trial: TrialReport, point: Point) -> None:
        outcome = describe_outcome(trial, self._objectives, self._limits)
        self._study.add_trial(
            create_trial(
                state=outcome.state,
                values=outcome.values,
                params=self._space.encode(point),
                distributions=self._space.distributions,
                intermediate_values=dict(outcome.epochs),
                constraints=dict(outcome.constraints),
            )
        )

    def _note(self, number: int, point: Point) -> None:
        self._tried.add(self._key(point))
        self._next = number + 1

    def _key(self, point: Point) -> _Key:
        return tuple(self._space.encode(point).values())


def _is_gaussian(algorithm: SearchAlgorithm) -> bool:
    bayesian = algorithm.bayesian
    return bayesian is not None and bayesian.surrogate is Surrogate.GAUSSIAN_PROCESS
