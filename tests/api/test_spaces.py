"""The values of a search space are listed, counted, found and described alike."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_api.spaces import (
    describe_space,
    find_value,
    grid_points,
    grid_size,
    is_finite_space,
    space_values,
)
from trimtab_api.v1alpha1.search import (
    Categorical,
    LogUniform,
    NumberType,
    Parameter,
    SearchSpace,
    Uniform,
)


def make_parameter(name: str, space: SearchSpace) -> Parameter:
    return Parameter(name=f"model.args.{name}", search_space=space)


def choices(*values: bool | float | str) -> SearchSpace:
    return SearchSpace(categorical=Categorical(choices=values))


def stepped(least: float, most: float, step: float) -> SearchSpace:
    return SearchSpace(uniform=Uniform(min=least, max=most, step=step))


def ranged(least: float, most: float, kind: NumberType = NumberType.FLOAT) -> SearchSpace:
    return SearchSpace(uniform=Uniform(min=least, max=most, type=kind))


def logarithmic(least: float, most: float, kind: NumberType = NumberType.FLOAT) -> SearchSpace:
    return SearchSpace(log_uniform=LogUniform(min=least, max=most, type=kind))


def test_the_last_parameter_of_a_grid_changes_fastest() -> None:
    points = list(
        grid_points([make_parameter("a", choices(1, 2)), make_parameter("b", choices("x", "y"))])
    )
    assert points == [
        {"model.args.a": 1, "model.args.b": "x"},
        {"model.args.a": 1, "model.args.b": "y"},
        {"model.args.a": 2, "model.args.b": "x"},
        {"model.args.a": 2, "model.args.b": "y"},
    ]


def test_steps_of_a_range_are_free_of_rounding_and_include_the_end() -> None:
    assert list(space_values(stepped(0.1, 0.5, 0.1))) == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_whole_numbers_come_as_integers() -> None:
    space = SearchSpace(uniform=Uniform(min=2, max=8, step=3, type=NumberType.INT))
    values = space_values(space)
    assert list(values) == [2, 5, 8]
    assert all(type(value) is int for value in values)


def test_equal_choices_count_once_but_types_are_told_apart() -> None:
    assert list(space_values(choices(1, 1, True, 1.0))) == [1, True, 1.0]


def test_an_endless_space_has_no_points() -> None:
    with pytest.raises(ValueError, match="must be finite"):
        space_values(SearchSpace(uniform=Uniform(min=0, max=1)))


@settings(max_examples=60, deadline=None)
@given(
    least=st.floats(-100, 100),
    width=st.floats(0, 50),
    step=st.floats(0.25, 10),
    others=st.lists(st.integers(0, 5), min_size=1, max_size=4),
)
def test_grid_points_are_distinct_inside_the_bounds_and_as_many_as_said(
    least: float, width: float, step: float, others: list[int]
) -> None:
    parameters = [
        make_parameter("a", stepped(least, least + width, step)),
        make_parameter("b", choices(*others)),
    ]
    points = list(grid_points(parameters))
    assert len({tuple(point.values()) for point in points}) == len(points) == grid_size(parameters)
    slack = 1e-9 * max(1, abs(least))
    for point in points:
        value = point["model.args.a"]
        assert isinstance(value, float)
        assert least - slack <= value <= least + width + slack


def test_a_huge_range_is_counted_without_being_listed() -> None:
    wide = SearchSpace(uniform=Uniform(min=0, max=1e12, type=NumberType.INT))
    assert grid_size([make_parameter("width", wide)]) == 10**12 + 1


SPACES = [
    choices(32, 64, 128),
    choices(1, True, 1.0, "1"),
    stepped(0.1, 0.5, 0.1),
    stepped(1e-13, 1e-9, 1e-9),
    ranged(2, 9, NumberType.INT),
    logarithmic(8, 16, NumberType.INT),
]


@pytest.mark.parametrize("space", SPACES, ids=describe_space)
def test_every_listed_value_is_found_as_itself(space: SearchSpace) -> None:
    assert is_finite_space(space)
    for value in space_values(space):
        found = find_value(space, value)
        assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("space", "value"),
    [
        (choices(32, 64), 33),
        (choices(32, 64), 64.0),
        (choices(1, 2), True),
        (choices("a"), "A"),
        (stepped(0.1, 0.5, 0.1), 0.25),
        (stepped(0.1, 0.5, 0.1), 0.6),
        (ranged(0, 1), 1.5),
        (ranged(0, 1), True),
        (ranged(0, 1), "0.5"),
        (ranged(1, 8, NumberType.INT), 2.5),
        (logarithmic(0.1, 1), 0.01),
        (logarithmic(1, 8, NumberType.INT), 9),
    ],
)
def test_another_value_is_not_found(space: SearchSpace, value: bool | float | str) -> None:
    assert find_value(space, value) is None


@pytest.mark.parametrize(
    ("space", "value", "kind"),
    [
        (ranged(0, 1), 1, float),
        (logarithmic(0.1, 10), 5, float),
        (stepped(0, 2, 0.5), 1, float),
        (ranged(1, 8, NumberType.INT), 4.0, int),
        (logarithmic(1, 8, NumberType.INT), 4.0, int),
    ],
)
def test_a_number_of_a_range_gets_the_type_of_the_range(
    space: SearchSpace, value: float, kind: type
) -> None:
    found = find_value(space, value)
    assert (found, type(found)) == (value, kind)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (choices(32, 0.5, True, "x"), 'one of 32, 0.5, true, "x"'),
        (stepped(0, 1, 0.25), "from 0 to 1 in steps of 0.25"),
        (logarithmic(1e-4, 0.1), "from 0.0001 to 0.1"),
        (ranged(1, 8, NumberType.INT), "a whole number from 1 to 8"),
    ],
)
def test_a_space_is_described_in_words(space: SearchSpace, words: str) -> None:
    assert describe_space(space) == words
