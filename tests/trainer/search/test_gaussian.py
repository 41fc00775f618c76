"""A Gaussian process sees every trial whose end says something of its point, with fair values."""

from collections.abc import Mapping

import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from trimtab_trainer.search.gaussian import _view_trials

DIRECTIONS = [StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE]


def make_trial(
    state: TrialState,
    values: list[float] | None = None,
    epochs: Mapping[int, float] | None = None,
    **constraints: float,
) -> FrozenTrial:
    return create_trial(
        state=state,
        values=values,
        params={"x": 0.5},
        distributions={"x": FloatDistribution(0, 1)},
        intermediate_values=dict(epochs or {}),
        constraints=constraints,
    )


MEASURED = [
    make_trial(TrialState.COMPLETE, [1.0, 10.0], size=-0.5),
    make_trial(TrialState.COMPLETE, [4.0, 40.0]),
]


def test_measured_trials_keep_their_values_and_have_a_value_for_each_limit() -> None:
    view = list(_view_trials(MEASURED, DIRECTIONS, ["size"]))
    assert [trial.values for trial in view] == [[1.0, 10.0], [4.0, 40.0]]
    assert [trial.constraints for trial in view] == [{"size": -0.5}, {"size": 0.0}]


def test_without_limits_no_trial_has_constraints() -> None:
    oom = make_trial(TrialState.PRUNED, memory=1.0)
    view = list(_view_trials([*MEASURED, oom], DIRECTIONS, []))
    assert [trial.constraints for trial in view] == [{}, {}, {}]


def test_a_trial_without_memory_has_the_worst_values() -> None:
    oom = make_trial(TrialState.PRUNED, memory=1.0)
    *_, seen = _view_trials([*MEASURED, oom], DIRECTIONS, ["size"])
    assert (seen.state, seen.values) == (TrialState.COMPLETE, [4.0, 10.0])
    assert seen.constraints == {"size": 0.0}


def test_a_trial_past_a_limit_has_mean_values_as_the_limit_tells_the_rest() -> None:
    past = make_trial(TrialState.PRUNED, size=0.25)
    *_, seen = _view_trials([*MEASURED, past], DIRECTIONS, ["size"])
    assert (seen.state, seen.values) == (TrialState.COMPLETE, [2.5, 25.0])
    assert seen.constraints == {"size": 0.25}


def test_a_stopped_trial_has_its_last_value() -> None:
    stopped = make_trial(TrialState.PRUNED, epochs={1: 9.0, 2: 7.0})
    (seen,) = _view_trials([stopped], DIRECTIONS[:1], [])
    assert (seen.state, seen.values) == (TrialState.COMPLETE, [7.0])


@pytest.mark.parametrize("state", [TrialState.FAIL, TrialState.PRUNED])
def test_a_trial_that_tells_nothing_is_not_seen(state: TrialState) -> None:
    assert list(_view_trials([*MEASURED, make_trial(state)], DIRECTIONS, []))[2:] == []


def test_where_nothing_was_measured_no_value_stands_in() -> None:
    assert list(_view_trials([make_trial(TrialState.PRUNED, memory=1.0)], DIRECTIONS, [])) == []


def test_a_running_trial_stays_a_running_one() -> None:
    running = make_trial(TrialState.RUNNING)
    assert list(_view_trials([running], DIRECTIONS, ["size"])) == [running]
