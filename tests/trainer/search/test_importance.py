"""Importance tells which parameters an objective depends on, the same at each call."""

import math

import pytest

from toy_search import LOSS, categorical, fail, succeed, uniform
from trimtab_api.reports import TrialReport
from trimtab_api.v1alpha1._types import Scalar
from trimtab_api.v1alpha1.goals import Direction, Objective
from trimtab_api.v1alpha1.search import NumberType
from trimtab_trainer.search.importance import rank_parameters
from trimtab_trainer.search.samplers import draw_random
from trimtab_trainer.search.space import Point, Space
from trimtab_trainer.search.study import Proposal

PARAMETERS = [
    uniform("x", -1, 1),
    uniform("rate", 1e-5, 1e-1, log=True),
    categorical("kind", "a", 1, True),
    uniform("idle", 0, 9, kind=NumberType.INT),
    categorical("single", 3),
]
PARAMS = Objective(metric="params", direction=Direction.MINIMIZE)


def number(value: Scalar) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def judge(point: Point) -> TrialReport:
    """The variances of the three terms are 3.0, 0.33 and 0; params depends on the kind alone."""
    loss = 1.5 * math.log10(number(point["train.rate"])) + number(point["train.x"])
    params = 100.0 if point["train.kind"] == "a" else 10.0
    return succeed(Proposal(0, point), loss=loss, params=params)


def trials(count: int) -> list[TrialReport]:
    space = Space(PARAMETERS)
    return [judge(draw_random(space, 3, index)) for index in range(count)]


def test_the_shares_are_those_of_the_variance() -> None:
    loss, params = rank_parameters(trials(200), PARAMETERS, [LOSS, PARAMS], seed=1)
    assert (loss.metric, params.metric) == ("loss", "params")
    assert list(loss.shares)[:2] == ["train.rate", "train.x"]
    assert loss.shares["train.rate"] == pytest.approx(0.9, abs=0.05)
    assert params.shares["train.kind"] > 0.95
    for report in (loss, params):
        assert sum(report.shares.values()) == pytest.approx(1)
        assert list(report.shares.values()) == sorted(report.shares.values(), reverse=True)
        assert "train.single" not in report.shares


def test_the_same_seed_gives_the_same_shares() -> None:
    first, again = (rank_parameters(trials(30), PARAMETERS, [LOSS], seed=1) for _ in range(2))
    assert first == again


def test_too_few_trials_and_equal_values_tell_nothing() -> None:
    assert rank_parameters(trials(7), PARAMETERS, [LOSS], seed=1) == ()
    assert len(rank_parameters(trials(8), PARAMETERS, [LOSS], seed=1)) == 1
    equal = [
        trial.model_copy(update={"values": {"loss": 1.0, "params": 2.0}}) for trial in trials(8)
    ]
    assert rank_parameters(equal, PARAMETERS, [LOSS, PARAMS], seed=1) == ()
    mixed = [
        trial.model_copy(update={"values": trial.values | {"loss": 1.0}}) for trial in trials(30)
    ]
    reports = rank_parameters(mixed, PARAMETERS, [LOSS, PARAMS], seed=1)
    assert [report.metric for report in reports] == ["params"]


def test_only_trials_that_succeeded_count() -> None:
    failed = [fail(Proposal(index, trial.parameters)) for index, trial in enumerate(trials(9))]
    assert rank_parameters([*trials(7), *failed], PARAMETERS, [LOSS], seed=1) == ()


def test_a_space_of_one_point_has_nothing_to_rank() -> None:
    single = [categorical("single", 3)]
    ended = [succeed(Proposal(0, {"train.single": 3}), loss=float(index)) for index in range(9)]
    assert rank_parameters(ended, single, [LOSS], seed=1) == ()
