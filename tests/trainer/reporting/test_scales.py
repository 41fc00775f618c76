"""Scales put values of parameters on axes that span the whole space, with round ticks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_api.v1alpha1.search import Parameter
from trimtab_trainer.reporting.charts.canvas import ValueRange
from trimtab_trainer.reporting.scales import ParameterScale, build_scales, make_value_axis


def scale_of(space: dict[str, object], name: str = "train.x") -> ParameterScale:
    parameter = Parameter.model_validate({"name": name, "searchSpace": space})
    return build_scales([parameter])[name]


def labels_of(scale: ParameterScale) -> list[str]:
    return [tick.label for tick in scale.axis.ticks]


def test_orders_of_magnitude_are_equally_far_apart() -> None:
    scale = scale_of({"logUniform": {"min": 1e-4, "max": 1e-1}})

    assert labels_of(scale) == ["1e-4", "1e-3", "0.01", "0.1"]
    assert [tick.position for tick in scale.axis.ticks] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert scale.place(1e-3) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("space", "labels"),
    [
        ({"uniform": {"min": 0, "max": 1}}, ["0", "0.5", "1"]),
        ({"uniform": {"min": -2, "max": 2}}, ["\N{MINUS SIGN}2", "\N{MINUS SIGN}1", "0", "1", "2"]),
        ({"uniform": {"min": 1, "max": 3, "type": "Int"}}, ["1", "2", "3"]),
        ({"uniform": {"min": 5, "max": 5}}, ["5"]),
        ({"logUniform": {"min": 1e-3, "max": 1e-2}}, ["1e-3", "3e-3", "0.01"]),
        ({"logUniform": {"min": 2, "max": 5}}, ["2", "3", "4", "5"]),
        ({"logUniform": {"min": 3, "max": 4}}, ["3", "3.5", "4"]),
        ({"logUniform": {"min": 1, "max": 1e15}}, ["1", "100", "1e4", "1e6", "1e8"]),
    ],
)
def test_ticks_are_round(space: dict[str, object], labels: list[str]) -> None:
    found = labels_of(scale_of(space))

    assert found[: len(labels)] == labels
    assert len(found) <= 9


def test_choices_have_a_place_each_and_keep_their_types_apart() -> None:
    scale = scale_of({"categorical": {"choices": [1, True, "1", 0.5]}})

    assert [scale.place(value) for value in (1, True, "1", 0.5)] == [0.125, 0.375, 0.625, 0.875]
    assert labels_of(scale) == ["1", "true", "1", "0.5"]


def test_trials_of_one_choice_stand_beside_each_other() -> None:
    scale = scale_of({"categorical": {"choices": ["a", "b"]}})

    places = [scale.spread("a", number) for number in range(50)]

    assert len(set(places)) == 50
    assert 0.1 < min(places) < max(places) < 0.4


def test_long_and_many_choices_are_cut() -> None:
    scale = scale_of({"categorical": {"choices": [f"choice number {n}" for n in range(20)]}})

    assert len(labels_of(scale)) <= 8
    assert labels_of(scale)[0] == "choice numb…"


@given(
    one=st.floats(1e-12, 1e12),
    other=st.floats(1e-12, 1e12),
    value=st.floats(1e-15, 1e15),
    is_log=st.booleans(),
)
def test_every_value_has_a_place_between_the_ends(
    one: float, other: float, value: float, *, is_log: bool
) -> None:
    bounds = {"min": min(one, other), "max": max(one, other)}
    scale = scale_of({"logUniform" if is_log else "uniform": bounds})

    assert 0 <= scale.place(value) <= 1
    assert all(-1e-6 <= tick.position <= 1 + 1e-6 for tick in scale.axis.ticks)


def test_paths_are_shortened_unless_they_end_alike() -> None:
    space = {"uniform": {"min": 0, "max": 1}}
    names = ["train.momentum", "model.args.width", "dataset.args.width"]

    scales = build_scales(
        [Parameter.model_validate({"name": name, "searchSpace": space}) for name in names]
    )

    assert [scale.axis.title for scale in scales.values()] == [
        "momentum",
        "model.args.width",
        "dataset.args.width",
    ]


@pytest.mark.parametrize(
    ("metric", "limits", "label"),
    [
        ("accuracy", ValueRange(0.98, 0.9), "92 %"),
        ("params", ValueRange(0, 4e6), "2 M"),
        ("error", ValueRange(0, 4), "2"),
    ],
)
def test_an_objective_is_labelled_in_its_unit(metric: str, limits: ValueRange, label: str) -> None:
    axis = make_value_axis(metric, limits)

    assert label in [tick.label for tick in axis.ticks]
    assert axis.title == metric
