"""A recipe has one length, and the learning rate follows its schedule."""

import pytest

from trimtab_api.v1alpha1.train import LearningRateSchedule, Optimizer
from trimtab_trainer.training.recipe import Recipe


def recipe(
    schedule: LearningRateSchedule, *, epochs: int | None = 3, steps: int | None = None
) -> Recipe:
    return Recipe(
        epochs=epochs,
        steps=steps,
        batch_size=8,
        optimizer=Optimizer.SGD,
        learning_rate=0.2,
        weight_decay=0.0,
        momentum=0.9,
        schedule=schedule,
    )


def test_cosine_falls_from_the_rate_through_its_half_towards_zero() -> None:
    cosine = recipe(LearningRateSchedule.COSINE)
    rates = [cosine.learning_rate_at(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[50] == pytest.approx(0.1)
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 0.001


def test_constant_stays() -> None:
    constant = recipe(LearningRateSchedule.CONSTANT)
    assert {constant.learning_rate_at(step, 10) for step in range(10)} == {0.2}


def test_steps_are_counted_from_epochs_or_given() -> None:
    assert recipe(LearningRateSchedule.COSINE).count_steps(7) == 21
    assert recipe(LearningRateSchedule.COSINE, epochs=None, steps=5).count_steps(7) == 5


@pytest.mark.parametrize(("epochs", "steps"), [(None, None), (1, 1)])
def test_a_recipe_has_exactly_one_length(epochs: int | None, steps: int | None) -> None:
    with pytest.raises(ValueError, match="exactly one of epochs and steps"):
        recipe(LearningRateSchedule.COSINE, epochs=epochs, steps=steps)
