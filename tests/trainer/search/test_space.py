"""Parameters of the manifest become distributions, and sampled values become theirs again."""

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toy_search import categorical, uniform
from trimtab_api.spaces import grid_points
from trimtab_api.v1alpha1.search import NumberType, Parameter
from trimtab_trainer.errors import StudyMismatchError
from trimtab_trainer.search.space import Point, Space

INT = NumberType.INT

PARAMETERS = [
    uniform("a", 0.5, 2.5),
    uniform("a", 0.0, 1.0, step=0.3),
    uniform("a", 0.0, 1.0, step=1e-6),
    uniform("a", -3, 9, kind=INT),
    uniform("a", 0, 10, step=4, kind=INT),
    uniform("a", 0, 1e9, step=7, kind=INT),
    uniform("a", 1e-5, 1e-1, log=True),
    uniform("a", 1, 1000, kind=INT, log=True),
    uniform("a", 1, 10**9, kind=INT, log=True),
    uniform("a", 2.0, 2.0),
    uniform("a", 3, 3, kind=INT, log=True),
    categorical("a", "adam", 1, True, 1.0, 2.5),
]


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda p: p.search_space.model_dump_json())
@given(seed=st.integers(0, 2**32 - 1))
def test_a_sampled_point_is_in_the_space_and_comes_back(parameter: Parameter, seed: int) -> None:
    space = Space([parameter])
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    sampled = study.ask(space.distributions).params
    point = space.decode(sampled)
    value = point[parameter.name]
    bounds = parameter.search_space.uniform or parameter.search_space.log_uniform
    choices = parameter.search_space.categorical
    if choices is not None:
        assert (type(value), value) in [(type(choice), choice) for choice in choices.choices]
    if bounds is not None:
        assert bounds.min <= float(value) <= bounds.max
        assert type(value) is (int if bounds.type is INT else float)
    assert space.encode(point) == sampled


def test_a_stepped_range_has_the_points_of_a_grid() -> None:
    parameters = [uniform("a", 0.0, 1.0, step=0.1), categorical("b", "x", "y")]
    space = Space(parameters)
    assert list(space.points()) == list(grid_points(parameters))
    assert space.size == 22
    for point in space.points():
        assert space.decode(space.encode(point)) == point


@pytest.mark.parametrize(
    "parameter",
    [uniform("a", 0, 1), uniform("a", 0, 10**9, kind=INT), uniform("a", 1, 10**9, log=True)],
    ids=["float", "huge int", "log"],
)
def test_a_space_that_cannot_be_exhausted_has_no_size(parameter: Parameter) -> None:
    assert Space([categorical("b", 1, 2), parameter]).size is None


def test_equal_choices_of_different_types_stay_apart() -> None:
    space = Space([categorical("a", 1, True, 1.0)])
    encoded = [space.encode(point)["train.a"] for point in space.points()]
    assert encoded == [0, 1, 2]


def test_a_point_of_another_space_is_refused_with_name_and_value() -> None:
    space = Space([categorical("a", 1, 2)])
    with pytest.raises(StudyMismatchError, match=r"train\.a .*has 3"):
        space.encode({"train.a": 3})
    with pytest.raises(StudyMismatchError, match=r"train\.a but .*train\.b"):
        space.encode({"train.b": 1})


def test_random_points_reach_the_whole_space() -> None:
    space = Space([categorical("a", 1, 2), uniform("b", 0, 2, kind=INT)])
    points = space.random_points(seed=1)
    seen = {tuple(next(points).values()) for _ in range(100)}
    assert seen == {(a, b) for a in (1, 2) for b in (0, 1, 2)}


def test_neighbours_differ_in_one_parameter_and_come_nearest_first() -> None:
    space = Space([categorical("a", "x", "y", "z"), uniform("b", 0, 9, kind=INT)])
    near = list(space.neighbours({"train.a": "y", "train.b": 3}, seed=1))
    assert len(near) == 2 + 9
    assert {point["train.b"] for point in near[:2]} == {2, 4}
    assert {point["train.b"] for point in near[2:4]} == {1, 5}
    assert {point["train.a"] for point in near[-2:]} == {"x", "z"}
    assert {point["train.a"] for point in near[:-2]} == {"y"}


def test_equally_near_neighbours_are_mixed() -> None:
    space = Space([uniform("a", 0, 9, kind=INT), uniform("b", 0, 9, kind=INT)])
    point: Point = {"train.a": 5, "train.b": 5}
    first = {str(next(space.neighbours(point, seed))) for seed in range(40)}
    assert len(first) == 4


def test_a_point_is_admitted_only_whole_and_inside() -> None:
    space = Space([categorical("a", "x", 0), uniform("b", 0.5, 1)])
    assert space.admit({"train.a": 0, "train.b": 1}) == {"train.a": 0, "train.b": 1.0}
    assert space.admit({"train.a": 0, "train.b": 2}) is None
    assert space.admit({"train.a": 0}) is None
    assert space.admit({"train.a": 0, "train.c": 1}) is None
