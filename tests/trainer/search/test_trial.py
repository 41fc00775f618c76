"""The search loop records every ended trial, and tells whose fault it is when trials fail."""

from pathlib import Path

import pytest

from search_scenario import Killed, Metrics, Scenario
from toy_search import BAYESIAN, LOSS, make_study, score
from trimtab_api.reports import EpochReport, TrialReport
from trimtab_api.v1alpha1.goals import Objective
from trimtab_api.v1alpha1.search import Bayesian, SearchAlgorithm
from trimtab_api.v1alpha1.status import FailureClass, TrialState
from trimtab_trainer.errors import (
    DatasetUnavailableError,
    DivergedError,
    TooManyFailedTrialsError,
    TrialLogCorruptError,
    UserError,
)
from trimtab_trainer.search.records import TrialRecord
from trimtab_trainer.storage.trial_log import TrialLog


def test_a_trial_is_recorded_before_the_next_one_is_asked_for(tmp_path: Path) -> None:
    scenario = Scenario(tmp_path, make_study(num_trials=2))
    scenario.run()
    assert scenario.heard == [
        "start 0 in 0", "epoch 0.1", "epoch 0.2", "record 0",
        "start 1 in 0", "epoch 1.1", "epoch 1.2", "record 1",
    ]  # fmt: skip


def test_a_record_tells_all_of_a_trial(tmp_path: Path) -> None:
    scenario = Scenario(tmp_path, make_study(num_trials=1))
    (trial,) = scenario.run()
    loss = score(trial.parameters)
    assert trial == TrialReport(
        number=0,
        state=TrialState.SUCCEEDED,
        parameters=scenario.placed[0],
        values={"loss": loss},
        metrics={"loss": loss, "accuracy": 0.5},
        intermediate=(
            EpochReport(epoch=1, metrics={"loss": 1.0}, seconds=0.5),
            EpochReport(epoch=2, metrics={"loss": 0.5}, seconds=0.5),
        ),
        seconds=trial.seconds,
        start_seconds=trial.start_seconds,
    )
    assert scenario.stored() == [trial]


def test_every_slot_is_kept_busy(tmp_path: Path) -> None:
    scenario = Scenario(tmp_path, make_study(num_trials=4), slots=2, epochs={0: 9})
    trials = scenario.run()
    assert [trial.number for trial in trials] == [1, 2, 3, 0]
    assert [trial.slot for trial in trials] == [1, 1, 1, 0]


def test_reaching_the_primary_goal_ends_the_search_and_stops_what_runs(tmp_path: Path) -> None:
    objective = Objective(metric="loss", direction=LOSS.direction, goal=0.1)
    results: dict[int, Metrics] = {0: {"loss": 0.5}, 1: {"loss": 0.4}, 2: {"loss": 0.1}}
    study = make_study(objectives=[objective])
    scenario = Scenario(tmp_path, study, results=results, slots=2, epochs={1: 99})
    assert [trial.number for trial in scenario.run()] == [0, 2]
    again = Scenario(tmp_path, make_study(objectives=[objective]))
    assert again.run() == []


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("killed_at", range(1, 8))
def test_f57_a_killed_search_goes_on_with_the_same_trials(
    tmp_path: Path, slots: int, killed_at: int
) -> None:
    algorithm = SearchAlgorithm(bayesian=Bayesian(startup_trials=2))
    epochs = {0: 5, 3: 4}

    def scenario(folder: Path, kill_at_start_of: int | None = None) -> Scenario:
        study = make_study(algorithm=algorithm, num_trials=8)
        return Scenario(
            folder, study, slots=slots, epochs=epochs, kill_at_start_of=kill_at_start_of
        )

    whole = scenario(tmp_path / "whole")
    whole.run()
    broken = scenario(tmp_path / "broken", kill_at_start_of=killed_at)
    with pytest.raises(Killed):
        broken.run()
    before = broken.stored()
    resumed = scenario(tmp_path / "broken")
    resumed.run()

    after = resumed.stored()
    assert after[: len(before)] == before
    assert sorted(trial.number for trial in after) == list(range(8))
    if slots == 1:
        assert resumed.placed == {n: whole.placed[n] for n in range(len(before), 8)}
    for number, parameters in broken.placed.items():
        assert resumed.placed.get(number, parameters) == parameters


def test_f56_a_missing_metric_fails_the_trial_and_names_what_there_was(tmp_path: Path) -> None:
    results: dict[int, Metrics] = {1: {"accuracy": 0.9, "top5_accuracy": 1.0}}
    scenario = Scenario(tmp_path, make_study(num_trials=3), results=results)
    trials = scenario.run()
    assert [trial.state for trial in trials] == [
        TrialState.SUCCEEDED,
        TrialState.FAILED,
        TrialState.SUCCEEDED,
    ]
    failure = trials[1].failure
    assert failure is not None
    assert failure.failure_class is FailureClass.TRIAL_ERROR
    assert "loss" in failure.message
    assert "accuracy, top5_accuracy" in failure.message
    assert trials[1].values == {}


@pytest.mark.parametrize("value", ["0.1", None, True, [0.1]], ids=str)
def test_f56_a_metric_that_is_no_number_fails_the_trial(tmp_path: Path, value: object) -> None:
    scenario = Scenario(tmp_path, make_study(num_trials=2), results={0: {"loss": value}})
    failure = scenario.run()[0].failure
    assert failure is not None
    assert failure.failure_class is FailureClass.TRIAL_ERROR
    assert failure.message.startswith(f"objective metric loss must be a number but is {value!r}")


def test_f56_work_that_returns_no_metrics_fails_the_trial(tmp_path: Path) -> None:
    results = {0: None}
    scenario = Scenario(tmp_path, make_study(num_trials=2), results=results)
    failure = scenario.run()[0].failure
    assert failure is not None
    assert failure.message.endswith("but there were: none")


def test_f56_the_first_three_trials_failing_alike_are_the_users_error(tmp_path: Path) -> None:
    results: dict[int, Metrics | Exception] = {n: {"acc": 0.1 * n} for n in range(9)}
    scenario = Scenario(tmp_path, make_study(), results=results)
    with pytest.raises(UserError, match=r"first 3 trials failed alike: .* loss .*: acc"):
        scenario.run()
    assert [trial.number for trial in scenario.stored()] == [0, 1, 2]


def test_f56_messages_that_differ_in_numbers_are_alike(tmp_path: Path) -> None:
    results = {n: KeyError(f"sample {n * 11} of batch 1e-{n}") for n in range(9)}
    with pytest.raises(UserError, match="failed alike"):
        Scenario(tmp_path, make_study(), results=results).run()


@pytest.mark.parametrize(
    "results",
    [
        {0: KeyError("a"), 1: KeyError("b"), 2: KeyError("c")},
        {0: DivergedError("nan"), 1: DivergedError("nan"), 2: DivergedError("nan")},
        {1: KeyError("a"), 2: KeyError("a"), 3: KeyError("a")},
        {0: DivergedError("nan"), 1: DivergedError("nan"), 2: KeyError("a")},
    ],
    ids=["different ones", "diverged ones", "later ones", "one of another class"],
)
def test_f56_other_failures_are_only_counted(tmp_path: Path, results: dict[int, Exception]) -> None:
    trials = Scenario(tmp_path, make_study(num_trials=6), results=results).run()
    assert [trial.number for trial in trials if trial.state is TrialState.FAILED] == list(results)


def test_f49_a_value_that_is_not_finite_is_diverged_and_never_stored(tmp_path: Path) -> None:
    results: dict[int, Metrics] = {
        0: {"loss": float("nan")},
        1: {"loss": -float("inf")},
        2: {"loss": 0.5, "other": float("inf")},
    }
    trials = Scenario(tmp_path, make_study(num_trials=4), results=results).run()
    classes = [trial.failure.failure_class for trial in trials if trial.failure]
    assert classes == [FailureClass.DIVERGED, FailureClass.DIVERGED]
    assert trials[2].metrics == {"loss": 0.5}


def test_f49_more_failures_than_allowed_end_the_search(tmp_path: Path) -> None:
    results = {n: DivergedError(f"loss is nan in trial {n}") for n in (0, 2, 3)}
    scenario = Scenario(tmp_path, make_study(), results=results, max_failed=2)
    with pytest.raises(TooManyFailedTrialsError, match=r"allows 2 .* 3 failed; .*nan in trial 3"):
        scenario.run()
    assert [trial.number for trial in scenario.stored()] == [0, 1, 2, 3]


def test_earlier_failures_do_not_end_a_search_until_one_more_fails(tmp_path: Path) -> None:
    results = {n: DivergedError("nan") for n in range(3)}
    with pytest.raises(TooManyFailedTrialsError):
        Scenario(tmp_path, make_study(), results=results, max_failed=2).run()
    mended = Scenario(tmp_path, make_study(), results={6: DivergedError("nan")}, max_failed=2)
    with pytest.raises(TooManyFailedTrialsError, match="4 failed"):
        mended.run()
    assert sorted(mended.placed) == [3, 4, 5, 6]


def test_an_error_that_no_trial_escapes_ends_the_search_at_once(tmp_path: Path) -> None:
    results = {1: DatasetUnavailableError("no such folder: /data")}
    scenario = Scenario(tmp_path, make_study(), results=results)
    with pytest.raises(DatasetUnavailableError, match="no such folder"):
        scenario.run()
    assert scenario.heard[-1] == "fail 1 UserError"
    assert [trial.number for trial in scenario.stored()] == [0]
    mended = Scenario(tmp_path, make_study(num_trials=2))
    mended.run()
    assert mended.placed == {1: scenario.placed[1]}


def test_f54_a_log_without_one_of_its_trials_is_refused(tmp_path: Path) -> None:
    scenario = Scenario(tmp_path, make_study(algorithm=BAYESIAN))
    log = TrialLog(tmp_path / "trials", fingerprint="f")
    trial = TrialReport(number=1, state=TrialState.FAILED, parameters={}, seconds=1)
    log.append(TrialRecord(trial).to_json())
    with pytest.raises(TrialLogCorruptError, match="trials 0 to 0 once"):
        scenario.run()


def test_f51_trials_that_wait_for_a_slot_after_a_restart_are_not_forgotten(tmp_path: Path) -> None:
    """Two slots were cut down to one, and the second start ends before both are run."""

    def scenario(slots: int, kill_at: int | None = None) -> Scenario:
        study = make_study(num_trials=6)
        return Scenario(
            tmp_path,
            study,
            slots=slots,
            epochs={2: 30, 3: 30, 4: 1, 5: 1},
            kill_at_start_of=kill_at,
        )

    wide = Scenario(
        tmp_path, make_study(num_trials=6), slots=3, epochs={0: 40, 1: 30}, kill_at_start_of=4
    )
    with pytest.raises(Killed):
        wide.run()
    waiting = sorted(set(wide.placed) - {trial.number for trial in wide.stored()})
    assert len(waiting) > 1
    with pytest.raises(Killed):
        scenario(1, kill_at=waiting[1]).run()
    scenario(1).run()
    stored = {trial.number: trial.parameters for trial in wide.stored()}
    assert sorted(stored) == list(range(6))
    assert {number: stored[number] for number in waiting} == {
        number: wide.placed[number] for number in waiting
    }
