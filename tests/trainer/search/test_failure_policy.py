"""What follows from a failed trial is what the failure policy says, class by class."""

from pathlib import Path

import pytest
import torch

from search_scenario import Scenario, Silence
from toy_search import make_study
from trimtab_api.v1alpha1.runtime import FailureAction
from trimtab_api.v1alpha1.status import FailureClass, TrialState
from trimtab_trainer.errors import DivergedError, PreemptedError, WorkerLostError

GOOD = {"loss": 0.5}


def test_f48_a_trial_without_memory_runs_again_in_smaller_parts_then_is_infeasible(
    tmp_path: Path,
) -> None:
    results = {0: torch.OutOfMemoryError("CUDA out of memory")}
    scenario = Scenario(tmp_path, make_study(num_trials=2), results=results, max_failed=0)
    first, second = scenario.run()
    assert (first.state, second.state) == (TrialState.INFEASIBLE, TrialState.SUCCEEDED)
    assert scenario.shrinks == [0, 1, 0]
    assert first.failure is not None
    assert first.failure.failure_class is FailureClass.OOM
    assert [retry.action for retry in first.retries] == [FailureAction.SHRINK_BATCH]


def test_f48_smaller_parts_that_fit_give_a_value(tmp_path: Path) -> None:
    results = {0: [MemoryError(), GOOD]}
    (trial,) = Scenario(tmp_path, make_study(num_trials=1), results=results).run()
    assert trial.values == GOOD
    assert trial.failure is None
    assert [retry.failure_class for retry in trial.retries] == [FailureClass.OOM]


def test_f48_parts_of_one_sample_cannot_shrink(tmp_path: Path) -> None:
    scenario = Scenario(
        tmp_path, make_study(num_trials=1), results={0: MemoryError()}, largest_shrink=0
    )
    (trial,) = scenario.run()
    assert trial.state is TrialState.INFEASIBLE
    assert scenario.shrinks == [0]


def test_f50_a_silent_trial_is_killed_and_runs_once_more(tmp_path: Path) -> None:
    results = {0: Silence(1000)}
    scenario = Scenario(
        tmp_path, make_study(num_trials=2), results=results, timeout=900, max_failed=1
    )
    first, second = scenario.run()
    assert (first.state, second.state) == (TrialState.FAILED, TrialState.SUCCEEDED)
    assert first.failure is not None
    assert first.failure.failure_class is FailureClass.TIMEOUT
    assert "search.trialTimeoutSeconds" in first.failure.message
    assert [retry.action for retry in first.retries] == [FailureAction.RETRY]


def test_f40_a_trial_that_waits_for_a_machine_is_not_silent(tmp_path: Path) -> None:
    scenario = Scenario(
        tmp_path, make_study(num_trials=1), timeout=900, max_failed=0, places_missing=4
    )
    (trial,) = scenario.run()
    assert (trial.state, trial.retries) == (TrialState.SUCCEEDED, ())


def test_f51_a_late_result_of_a_killed_trial_is_dropped(tmp_path: Path) -> None:
    results = {0: [Silence(1000), GOOD]}
    scenario = Scenario(tmp_path, make_study(num_trials=1), results=results, timeout=900)
    (trial,) = scenario.run()
    assert trial.values == GOOD
    assert "fail 0 TrialError" not in scenario.heard
    assert len(scenario.stored()) == 1


def test_a_lost_worker_costs_a_trial_nothing(tmp_path: Path) -> None:
    results = {0: [WorkerLostError("node gone"), WorkerLostError("node gone"), GOOD]}
    scenario = Scenario(tmp_path, make_study(num_trials=1), results=results, max_failed=0)
    (trial,) = scenario.run()
    assert trial.values == GOOD
    assert len(trial.retries) == 2


def test_f40_machines_that_are_taken_away_again_and_again_cost_a_trial_nothing(
    tmp_path: Path,
) -> None:
    results = {0: [*[PreemptedError("taken away")] * 9, GOOD]}
    scenario = Scenario(tmp_path, make_study(num_trials=1), results=results, max_failed=0)
    (trial,) = scenario.run()
    assert (trial.state, trial.values) == (TrialState.SUCCEEDED, GOOD)
    assert {retry.failure_class for retry in trial.retries} == {FailureClass.PREEMPTED}
    assert len(trial.retries) == 9


def test_a_trial_that_kills_every_process_is_given_up(tmp_path: Path) -> None:
    results = {0: WorkerLostError("segmentation fault")}
    scenario = Scenario(tmp_path, make_study(num_trials=1), results=results, max_failed=1)
    (trial,) = scenario.run()
    assert trial.state is TrialState.FAILED
    assert [retry.action for retry in trial.retries] == [FailureAction.RETRY] * 3


def test_f49_a_diverged_trial_is_not_repeated_with_the_types_it_has_tried(tmp_path: Path) -> None:
    scenario = Scenario(
        tmp_path, make_study(num_trials=1), results={0: DivergedError("loss is nan")}
    )
    (trial,) = scenario.run()
    assert trial.state is TrialState.FAILED
    assert trial.retries == ()


@pytest.mark.parametrize(
    ("actions", "ends"),
    [
        (["Retry", "MarkInfeasible"], ("Infeasible", 1)),
        (["Retry", "Retry", "MarkFailed"], ("Failed", 2)),
        (["MarkInfeasible"], ("Infeasible", 0)),
    ],
    ids=str,
)
def test_actions_are_taken_in_turn_and_the_last_one_stays(
    tmp_path: Path, actions: list[str], ends: tuple[str, int]
) -> None:
    scenario = Scenario(
        tmp_path,
        make_study(num_trials=1),
        results={0: KeyError("x")},
        actions=lambda _: [FailureAction(action) for action in actions],
    )
    (trial,) = scenario.run()
    assert (trial.state, len(trial.retries)) == ends


def test_a_policy_can_end_the_job_at_the_first_failure(tmp_path: Path) -> None:
    scenario = Scenario(
        tmp_path,
        make_study(),
        results={0: DivergedError("loss is nan at step 3")},
        actions=lambda _: [FailureAction.FAIL_JOB],
    )
    with pytest.raises(DivergedError, match="nan at step 3"):
        scenario.run()
    assert scenario.stored() == []


def test_a_trial_that_runs_again_reports_each_epoch_once(tmp_path: Path) -> None:
    results = {0: [WorkerLostError("node gone"), GOOD]}
    (trial,) = Scenario(tmp_path, make_study(num_trials=1), results=results).run()
    assert [epoch.epoch for epoch in trial.intermediate] == [1, 2]
