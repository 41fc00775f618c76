"""A model that does not fit its data is found by two samples, before any training."""

from pathlib import Path

import pytest
import torch
from torch import nn
from typing_extensions import override

from image_data import make_bundle
from trimtab_api.v1alpha1.model import Model, Task
from trimtab_trainer.errors import UserError
from trimtab_trainer.models.catalog import build_model
from trimtab_trainer.models.preflight import check_model
from trimtab_trainer.models.task import Classification, build_task
from user_modules import write_module

FLAT = nn.Flatten()


class Pair(nn.Module):
    @override
    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return inputs, inputs


def test_a_fitting_model_passes_and_is_not_changed() -> None:
    data = make_bundle()
    model = build_model(
        Model(builtin="small-cnn"),
        data=data,
        image_size=None,
        code_dir=None,
        data_root=Path("unused"),
    )
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    check_model(model, data=data, task=Classification(), code_dir=None)
    assert model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(3, 4), "a forward pass of the model raised RuntimeError"),
        (nn.Sequential(FLAT, nn.Linear(64, 3)), r"shape \(2, 4\) but have \(2, 3\)"),
        (nn.Sequential(nn.Flatten(0), nn.Linear(128, 4)), r"shape \(2, 4\) but have \(4,\)"),
        (nn.Identity(), r"shape \(2, 4\) but have \(2, 1, 8, 8\)"),
        (Pair(), "must return a tensor but returned tuple"),
    ],
    ids=["raises", "too few classes", "one dimension", "image", "tuple"],
)
def test_f65_a_model_with_other_outputs_is_a_user_error(model: nn.Module, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_model(model, data=make_bundle(), task=Classification(), code_dir=None)


def test_more_classes_than_the_data_set_has_are_fine() -> None:
    model = nn.Sequential(FLAT, nn.Linear(64, 9))
    check_model(model, data=make_bundle(), task=Classification(), code_dir=None)


def test_f65_a_metric_that_is_no_finite_number_is_a_user_error(tmp_path: Path) -> None:
    name = write_module(
        tmp_path,
        """
        class Task:
            def loss(self, output, target): return output.mean()
            def metrics(self, output, target): return {"ratio": float("nan")}
        """,
    )
    task = build_task(Task(entrypoint=f"{name}:Task"), code_dir=tmp_path)
    model = nn.Sequential(FLAT, nn.Linear(64, 4))
    with pytest.raises(UserError, match="ratio of two samples must be a finite number but is nan"):
        check_model(model, data=make_bundle(), task=task, code_dir=tmp_path)
