"""What is told of an ended trial says of its point what the trial showed, and no more."""

import math

import pytest
from optuna.trial import TrialState as OptunaState

from toy_search import LOSS, fail, stop, succeed
from trimtab_api.feasibility import TrialLimit
from trimtab_api.reports import TrialReport
from trimtab_api.v1alpha1.goals import Direction, Objective
from trimtab_api.v1alpha1.status import FailureClass, TrialState
from trimtab_trainer.search.outcomes import Outcome, describe_outcome
from trimtab_trainer.search.study import Proposal

PROPOSAL = Proposal(4, {"train.x": 0.5})
ACCURACY = Objective(metric="accuracy", direction=Direction.MAXIMIZE)
SIZE = TrialLimit("params max 200", "params", 200.0, upper=True)
QUALITY = TrialLimit("accuracy min 0.8", "accuracy", 0.8, upper=False)
LIMITS = [SIZE, QUALITY]


def test_a_success_has_values_in_order_and_the_excess_over_each_limit() -> None:
    trial = succeed(PROPOSAL, {"params": 300}, loss=0.5, accuracy=0.9)
    outcome = describe_outcome(trial, [ACCURACY, LOSS], LIMITS)
    assert outcome.state is OptunaState.COMPLETE
    assert outcome.values == [0.9, 0.5]
    assert outcome.epochs == {}
    assert outcome.constraints == pytest.approx({SIZE.name: 0.5, QUALITY.name: -0.125})


def test_a_result_of_an_earlier_job_is_a_success() -> None:
    trial = succeed(PROPOSAL, loss=0.5).model_copy(update={"state": TrialState.CACHED})
    assert describe_outcome(trial, [LOSS], LIMITS) == Outcome(OptunaState.COMPLETE, [0.5])


def test_a_stopped_trial_has_its_epochs_but_is_held_to_no_limit_that_training_moves() -> None:
    """It keeps its static limits, or it would not have been trained."""
    trial = stop(PROPOSAL, 3.0, 2.0).model_copy(update={"metrics": {"accuracy": 0.1}})
    outcome = describe_outcome(trial, [LOSS], LIMITS)
    assert outcome == Outcome(OptunaState.PRUNED, None, {1: 3.0, 2: 2.0}, {SIZE.name: 0.0})


def test_a_stopped_trial_of_several_objectives_has_no_epochs() -> None:
    outcome = describe_outcome(stop(PROPOSAL, 3.0), [LOSS, ACCURACY], [])
    assert outcome == Outcome(OptunaState.PRUNED)


def test_a_stopped_trial_whose_objective_is_known_at_the_end_only_has_no_epochs() -> None:
    assert describe_outcome(stop(PROPOSAL, 3.0), [ACCURACY], []) == Outcome(OptunaState.PRUNED)


def test_an_infeasible_trial_tells_how_far_it_is_past_a_limit() -> None:
    trial = TrialReport(
        number=4,
        state=TrialState.INFEASIBLE,
        parameters=PROPOSAL.parameters,
        metrics={"params": 300},
        violations={SIZE.name: 100.0},
        seconds=1,
    )
    outcome = describe_outcome(trial, [LOSS], LIMITS)
    assert outcome == Outcome(OptunaState.PRUNED, constraints={SIZE.name: 0.5})
    assert describe_outcome(trial.model_copy(update={"metrics": {}}), [LOSS], LIMITS) == outcome


def test_f48_a_trial_without_memory_breaks_a_limit_of_its_own() -> None:
    outcome = describe_outcome(fail(PROPOSAL, FailureClass.OOM), [LOSS], LIMITS)
    assert outcome == Outcome(OptunaState.PRUNED, constraints={"memory": 1.0})


def test_a_failed_trial_is_no_good_but_is_not_forgotten() -> None:
    trial = fail(PROPOSAL, FailureClass.DIVERGED)
    expected = Outcome(OptunaState.PRUNED, constraints={"failed": 1.0})
    assert describe_outcome(trial, [LOSS], LIMITS) == expected


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_f49_a_value_that_is_not_finite_is_no_outcome(value: float) -> None:
    trial = succeed(PROPOSAL, loss=1.0).model_copy(update={"values": {"loss": value}})
    with pytest.raises(ValueError, match="trial 4 must be finite"):
        describe_outcome(trial, [LOSS], [])


def test_a_running_trial_has_no_outcome() -> None:
    trial = succeed(PROPOSAL, loss=1.0).model_copy(update={"state": TrialState.RUNNING})
    with pytest.raises(ValueError, match="must have ended"):
        describe_outcome(trial, [LOSS], [])
