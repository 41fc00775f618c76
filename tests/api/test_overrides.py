"""A trial's parameters replace the fields that their names are paths of, and nothing else."""

import pytest
from pydantic import ValidationError

from report_builder import make_manifest
from trimtab_api.overrides import apply_parameters
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.validation import parse_job


def make_spec() -> Spec:
    return parse_job(make_manifest()).spec


def test_fields_of_the_recipe_and_arguments_are_replaced() -> None:
    spec = make_spec()
    changed = apply_parameters(
        spec, {"train.learningRate": 0.5, "train.precision.dtype": "bf16", "model.args.width": 8}
    )
    assert changed.stages.train is not None
    assert changed.stages.train.learning_rate == 0.5
    assert changed.stages.train.precision.dtype == "bf16"
    assert changed.model.args == {"width": 8}
    assert spec == make_spec()
    assert changed.stages.prune == spec.stages.prune


def test_no_parameters_change_nothing() -> None:
    assert apply_parameters(make_spec(), {}) == make_spec()


def test_steps_take_the_place_of_epochs() -> None:
    train = apply_parameters(make_spec(), {"train.steps": 7}).stages.train
    assert train is not None
    assert (train.steps, train.epochs) == (7, None)


def test_a_path_that_is_no_field_is_refused() -> None:
    with pytest.raises(KeyError, match="speed"):
        apply_parameters(make_spec(), {"train.speed": 1})


def test_a_value_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValidationError, match="batchSize"):
        apply_parameters(make_spec(), {"train.batchSize": 0.5})
