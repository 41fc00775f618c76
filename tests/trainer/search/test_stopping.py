"""Early stopping decides as the published rules do, and alike after a restart."""

import math
import random
from collections.abc import Iterator
from fractions import Fraction

import optuna
import pytest
from optuna.pruners import BasePruner, MedianPruner, SuccessiveHalvingPruner
from optuna.study import StudyDirection
from optuna.trial import TrialState

from trimtab_api.v1alpha1.goals import Direction
from trimtab_api.v1alpha1.search import Asha, EarlyStopping, Hyperband, Median
from trimtab_trainer.search.stopping import AbstractStopper, build_stopper

MINIMIZE, MAXIMIZE = Direction.MINIMIZE, Direction.MAXIMIZE
DIRECTIONS = {MINIMIZE: StudyDirection.MINIMIZE, MAXIMIZE: StudyDirection.MAXIMIZE}
EPOCHS = 20


def asha(min_epochs: int = 1, factor: int = 3) -> EarlyStopping:
    return EarlyStopping(asha=Asha(min_epochs=min_epochs, reduction_factor=factor))


def hyperband(min_epochs: int = 1, factor: int = 3) -> EarlyStopping:
    return EarlyStopping(hyperband=Hyperband(min_epochs=min_epochs, reduction_factor=factor))


def median(min_epochs: int = 1, startup: int = 2) -> EarlyStopping:
    return EarlyStopping(median=Median(min_epochs=min_epochs, startup_trials=startup))


def build(
    settings: EarlyStopping, direction: Direction = MINIMIZE, epochs: int = EPOCHS
) -> AbstractStopper:
    return build_stopper(settings, direction=direction, epochs=epochs)


def histories(
    stopper: AbstractStopper, generator: random.Random, *, slots: int = 4, trials: int = 40
) -> Iterator[tuple[int, int, float, bool]]:
    """Run trials in parallel, each until it is beaten; yield number, epoch, value, verdict."""
    waiting = iter(range(trials))
    running = {number: 0 for _, number in zip(range(slots), waiting, strict=False)}
    while running:
        number = generator.choice(list(running))
        running[number] += 1
        epoch = running[number]
        # Values of few bits make ties, and sums of them are exact.
        value = (generator.randrange(32) + 5 * number % 32) / 64
        stopper.note(number, epoch, value)
        is_beaten = stopper.is_beaten(number)
        yield number, epoch, value, is_beaten
        if is_beaten or epoch == EPOCHS:
            stopper.end(number)
            del running[number]
            running.update({other: 0 for other in [next(waiting, None)] if other is not None})


class Reference:
    """Optuna's pruner, told of the same epochs in the same order."""

    def __init__(self, pruner: BasePruner, direction: Direction) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = optuna.create_study(pruner=pruner, direction=DIRECTIONS[direction])
        self.trials: dict[int, optuna.Trial] = {}

    def judge(self, number: int, epoch: int, value: float) -> bool:
        if number not in self.trials:
            self.trials[number] = self.study.ask()
        trial = self.trials[number]
        trial.report(value, epoch)
        return epoch < EPOCHS and trial.should_prune()

    def end(self, number: int, value: float, state: TrialState) -> None:
        values = value if state is TrialState.COMPLETE else None
        self.study.tell(self.trials[number], values, state=state)


@pytest.mark.parametrize("direction", [MINIMIZE, MAXIMIZE])
@pytest.mark.parametrize("seed", range(30))
def test_asha_decides_as_optuna(seed: int, direction: Direction) -> None:
    generator = random.Random(seed)
    start, factor = generator.choice([1, 2, 3]), generator.choice([2, 3, 4])
    pruner = SuccessiveHalvingPruner(min_resource=start, reduction_factor=factor)
    reference = Reference(pruner, direction)
    verdicts = set()
    stopper = build(asha(start, factor), direction)
    for number, epoch, value, is_beaten in histories(stopper, generator):
        assert is_beaten == reference.judge(number, epoch, value)
        verdicts.add(is_beaten)
        if is_beaten:
            reference.end(number, value, TrialState.PRUNED)
    assert verdicts == {True, False}


@pytest.mark.parametrize("direction", [MINIMIZE, MAXIMIZE])
@pytest.mark.parametrize("seed", range(20))
def test_hyperband_decides_as_optunas_halving_in_each_bracket(
    seed: int, direction: Direction
) -> None:
    stopper = build(hyperband(1, 3), direction)
    probe = build(hyperband(1, 3), direction)
    brackets = [find_bracket(probe, number) for number in range(40)]
    references = [
        Reference(SuccessiveHalvingPruner(1, 3, min_early_stopping_rate=bracket), direction)
        for bracket in range(3)
    ]
    for number, epoch, value, is_beaten in histories(stopper, random.Random(seed)):
        reference = references[brackets[number]]
        assert is_beaten == reference.judge(number, epoch, value)
        if is_beaten:
            reference.end(number, value, TrialState.PRUNED)


def find_bracket(stopper: AbstractStopper, number: int) -> int:
    """Return the power of the first rung of a trial: a value that is not finite is beaten there."""
    for power, epoch in enumerate((1, 3, 9)):
        stopper.note(number, epoch, math.inf)
        if stopper.is_beaten(number):
            return power
    raise AssertionError("a trial must have a rung")


def test_hyperband_gives_each_bracket_its_share_at_any_time() -> None:
    """With 27 epochs and factor 3 the paper's brackets have 27, 12, 6 and 4 trials a round."""
    stopper = build(hyperband(1, 3), epochs=27)
    shares = [Fraction(n, 27 + 12 + 6 + 4) for n in (27, 12, 6, 4)]
    counts = [0, 0, 0, 0]
    for number in range(200):
        rungs = [epoch for epoch in (1, 3, 9) if is_rung(stopper, number, epoch)]
        counts[3 - len(rungs)] += 1
        for count, share in zip(counts, shares, strict=True):
            assert abs(count - share * (number + 1)) <= 1
    assert min(counts) > 0


def is_rung(stopper: AbstractStopper, number: int, epoch: int) -> bool:
    """A trial that was told to be the worst is beaten at once at a rung, and only there."""
    stopper.note(number, epoch, -1e9 - number)
    before = stopper.is_beaten(number)
    stopper.note(number, epoch, math.nan)
    return stopper.is_beaten(number) and not before


@pytest.mark.parametrize("direction", [MINIMIZE, MAXIMIZE])
@pytest.mark.parametrize("seed", range(30))
def test_the_median_rule_decides_as_optuna(seed: int, direction: Direction) -> None:
    """Ended trials are told to optuna as complete ones, as here the stopped ones count too."""
    generator = random.Random(seed)
    start, startup = generator.choice([1, 2, 5]), generator.choice([1, 2, 5])
    reference = Reference(MedianPruner(n_startup_trials=startup, n_warmup_steps=start), direction)
    verdicts = set()
    stopper = build(median(start, startup), direction)
    for number, epoch, value, is_beaten in histories(stopper, generator):
        assert is_beaten == reference.judge(number, epoch, value)
        verdicts.add(is_beaten)
        if is_beaten or epoch == EPOCHS:
            reference.end(number, value, TrialState.COMPLETE)
    assert verdicts == {True, False}


@pytest.mark.parametrize("settings", [asha(), hyperband(), median(startup=1)])
def test_a_value_that_is_not_finite_is_the_worst(settings: EarlyStopping) -> None:
    for direction, worst in ((MINIMIZE, 1e9), (MAXIMIZE, -1e9)):
        for value in (math.nan, math.inf, -math.inf):
            stopper = build(settings, direction)
            # Epoch 9 is a rung of every bracket.
            stopper.note(0, 9, worst)
            stopper.end(0)
            stopper.note(1, 9, value)
            assert not stopper.is_beaten(0)
            assert stopper.is_beaten(1)


@pytest.mark.parametrize("settings", [asha(4), hyperband(4), median(4, startup=1)])
def test_no_trial_is_stopped_before_the_first_epochs_nor_at_the_last_one(
    settings: EarlyStopping,
) -> None:
    stopper = build(settings, epochs=8)
    for number in range(6):
        for epoch in range(1, 9):
            stopper.note(number, epoch, float(number))
            beaten = stopper.is_beaten(number)
            assert not (beaten and (epoch < 4 or number == 0))
            if epoch == 8:
                break
        stopper.end(number)
    stopper.note(6, 8, math.inf)
    assert not stopper.is_beaten(6)


@pytest.mark.parametrize("settings", [asha(8), hyperband(8), hyperband(9), median(8)])
def test_trials_that_are_shorter_than_the_first_rung_all_run_to_their_end(
    settings: EarlyStopping,
) -> None:
    stopper = build(settings, epochs=8)
    for number in range(5):
        for epoch in range(1, 9):
            stopper.note(number, epoch, float(number))
            assert not stopper.is_beaten(number)
        stopper.end(number)


def test_a_trial_of_which_nothing_is_known_is_not_beaten() -> None:
    assert not build(asha()).is_beaten(3)
    assert not build(median()).is_beaten(3)


@pytest.mark.parametrize("settings", [asha(2, 2), hyperband(1, 2), median(2, startup=2)])
@pytest.mark.parametrize("seed", range(5))
def test_f51_a_stopper_that_is_told_of_recorded_trials_decides_on_new_ones_alike(
    settings: EarlyStopping, seed: int
) -> None:
    first = build(settings)
    epochs: dict[int, dict[int, float]] = {}
    for number, epoch, value, _ in histories(first, random.Random(seed), trials=20):
        epochs.setdefault(number, {})[epoch] = value
    again = build(settings)
    for number, values in epochs.items():
        for epoch, value in values.items():
            again.note(number, epoch, value)
        again.end(number)
    generator = random.Random(seed)
    for number in range(20, 40):
        for epoch in range(1, EPOCHS + 1):
            value = generator.randrange(64) / 64
            first.note(number, epoch, value)
            again.note(number, epoch, value)
            assert first.is_beaten(number) == again.is_beaten(number)


@pytest.mark.parametrize("settings", [asha(), median(startup=1)])
def test_a_trial_that_runs_again_counts_once(settings: EarlyStopping) -> None:
    stopper = build(settings)
    stopper.note(0, 1, 1.0)
    stopper.end(0)
    stopper.note(1, 1, 2.0)
    assert stopper.is_beaten(1)
    stopper.note(1, 1, 0.5)
    assert not stopper.is_beaten(1)
    stopper.end(1)
    stopper.note(2, 1, 0.75)
    assert stopper.is_beaten(2) == (settings.asha is not None)


def test_the_best_value_so_far_saves_a_trial_from_the_median_rule() -> None:
    stopper = build(median(startup=1))
    for epoch in (1, 2):
        stopper.note(0, epoch, 1.0)
    stopper.end(0)
    stopper.note(1, 1, 0.9)
    stopper.note(1, 2, 5.0)
    assert not stopper.is_beaten(1)
