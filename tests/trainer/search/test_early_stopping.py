"""The search loop stops a trial that will not win, in a slot that stays warm."""

from pathlib import Path

from search_scenario import Scenario
from toy_search import LOSS, make_study
from trimtab_api.feasibility import TrialLimit
from trimtab_api.v1alpha1.goals import Direction, Objective
from trimtab_api.v1alpha1.search import Asha, EarlyStopping, Median
from trimtab_api.v1alpha1.status import TrialState

MEDIAN = EarlyStopping(metric="loss", median=Median(min_epochs=1, startup_trials=2))
LENGTHS = dict.fromkeys(range(9), 9)


def lose_from_three_on(number: int, epoch: int) -> float:
    return (1.0 if number < 3 else 10.0) / epoch


def test_a_trial_that_is_worse_than_the_others_is_stopped(tmp_path: Path) -> None:
    scenario = Scenario(
        tmp_path,
        make_study(num_trials=5),
        epochs=LENGTHS,
        losses=lose_from_three_on,
        early_stopping=MEDIAN,
    )
    trials = scenario.run()
    assert [trial.state for trial in trials[:3]] == [TrialState.SUCCEEDED] * 3
    assert [trial.state for trial in trials[3:]] == [TrialState.STOPPED] * 2
    assert trials[3].values == {}
    assert trials[3].metrics == {"loss": 10.0 / len(trials[3].intermediate)}
    assert len(trials[3].intermediate) < 9


def test_stopping_works_with_several_objectives(tmp_path: Path) -> None:
    objectives = [LOSS, Objective(metric="accuracy", direction=Direction.MAXIMIZE)]
    scenario = Scenario(
        tmp_path,
        make_study(num_trials=5, objectives=objectives),
        epochs=LENGTHS,
        losses=lose_from_three_on,
        early_stopping=MEDIAN,
    )
    assert [trial.state for trial in scenario.run()].count(TrialState.STOPPED) == 2


def test_a_restart_knows_the_epochs_of_earlier_trials(tmp_path: Path) -> None:
    def scenario(trials: int) -> Scenario:
        return Scenario(
            tmp_path,
            make_study(num_trials=trials),
            epochs=LENGTHS,
            losses=lose_from_three_on,
            early_stopping=MEDIAN,
        )

    scenario(3).run()
    assert [trial.state for trial in scenario(4).run()] == [TrialState.STOPPED]


def test_successive_halving_stops_most_trials_at_early_rungs(tmp_path: Path) -> None:
    scenario = Scenario(
        tmp_path,
        make_study(num_trials=9),
        epochs=LENGTHS,
        losses=lambda number, epoch: (1 + number) / epoch,
        early_stopping=EarlyStopping(metric="loss", asha=Asha(min_epochs=1, reduction_factor=3)),
    )
    lengths = [len(trial.intermediate) for trial in scenario.run()]
    assert lengths[0] == 9
    assert sum(length < 9 for length in lengths) >= 6


def test_a_point_past_a_static_limit_is_infeasible_and_says_by_how_much(tmp_path: Path) -> None:
    limit = TrialLimit("params <= 100", "params", bound=100, upper=True)
    scenario = Scenario(
        tmp_path,
        make_study(num_trials=2),
        results={0: {"params": 150.0, "flops": 1.0}},
        epochs={0: 0},
        limits=[limit],
        max_failed=0,
    )
    first, second = scenario.run()
    assert (first.state, second.state) == (TrialState.INFEASIBLE, TrialState.SUCCEEDED)
    assert first.violations == {"params <= 100": 50.0}
    assert first.failure is None


def test_a_limit_that_only_training_tells_leaves_the_value(tmp_path: Path) -> None:
    limit = TrialLimit("accuracy >= 0.9", "accuracy", bound=0.9, upper=False)
    scenario = Scenario(
        tmp_path,
        make_study(num_trials=1),
        results={0: {"loss": 0.5, "accuracy": 0.75}},
        limits=[limit],
    )
    (trial,) = scenario.run()
    assert trial.state is TrialState.SUCCEEDED
    assert trial.violations == {"accuracy >= 0.9": 0.15000000000000002}


def test_a_trial_past_a_limit_does_not_reach_the_goal(tmp_path: Path) -> None:
    goal = Objective(metric="loss", direction=LOSS.direction, goal=0.1)
    scenario = Scenario(
        tmp_path,
        make_study(num_trials=3, objectives=[goal]),
        results={
            0: {"loss": 0.05, "accuracy": 0.1},
            1: {"loss": 0.05, "accuracy": 0.95},
        },
        limits=[TrialLimit("accuracy >= 0.9", "accuracy", bound=0.9, upper=False)],
    )
    assert [trial.number for trial in scenario.run()] == [0, 1]


def test_a_trial_is_not_judged_at_its_own_last_epoch(tmp_path: Path) -> None:
    """Trials may differ in length, where a search gives them one."""
    scenario = Scenario(
        tmp_path,
        make_study(num_trials=4),
        epochs={**LENGTHS, 3: 1},
        losses=lose_from_three_on,
        early_stopping=MEDIAN,
    )
    assert scenario.run()[3].state is TrialState.SUCCEEDED
