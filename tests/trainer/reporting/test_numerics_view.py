"""The report says in words what precision did, and draws the loss scale where it changed."""

from typing import Any

import pytest

from report_builder import make_parts, make_report
from search_builder import make_numerics
from trimtab_api.reports import RunReport
from trimtab_trainer.reporting.numerics_view import describe_numerics, list_scale_points

EPOCHS = range(1, 10)


def report_of(**fields: Any) -> RunReport:
    parts = make_parts()
    parts.training = make_numerics(dict.fromkeys(EPOCHS, fields))
    return parts.build()


def test_overflows_and_the_fallback_are_told() -> None:
    parts = make_parts()
    parts.training = make_numerics()

    computed, skipped, fallback = describe_numerics(parts.build())
    assert computed == "Computed in fp16 → bf16; master weights are fp32."
    assert skipped == "Steps skipped after an overflow: 5, in 2 of 9 epochs."
    assert fallback.startswith("Epoch 7 went fp16 → bf16: the narrow type did not hold")
    points = list_scale_points(parts.training)
    assert [point.epoch for point in points if point.overflows] == [2, 5]
    assert [point.fallback for point in points if point.fallback] == ["fp16 → bf16"]


@pytest.mark.parametrize(
    ("fields", "sentences"),
    [
        (
            {"dtype": "bf16"},
            ["Computed in bf16; master weights are fp32.", "The loss was not scaled."],
        ),
        (
            {"dtype": "fp16", "loss_scale": 1024.0},
            ["Computed in fp16; master weights are fp32.", "The loss scale stayed at 1,024."],
        ),
    ],
)
def test_a_quiet_training_is_told_in_words(fields: dict[str, Any], sentences: list[str]) -> None:
    assert describe_numerics(report_of(**fields)) == [
        *sentences,
        "No step overflowed and no wider type was needed.",
    ]


def test_an_emulated_type_makes_no_claim_of_speed() -> None:
    sentences = describe_numerics(report_of(dtype="fp8", emulated=True))

    assert sentences[1].startswith("fp8 is emulated: this device computes it in another type")


def test_all_trainings_are_summed_up() -> None:
    parts = make_parts()
    parts.precision = parts.precision.model_copy(update={"overflows": 12, "fallbacks": 2})

    assert describe_numerics(parts.build()) == [
        "Over all trainings of the job: steps skipped 12, fallbacks to a wider type 2."
    ]


def test_a_report_of_an_older_version_says_nothing() -> None:
    assert describe_numerics(make_report()) == []
    assert list_scale_points(make_report().training) == []
