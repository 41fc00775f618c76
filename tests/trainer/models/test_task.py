"""Classification is scored by fractions; a user's task is checked where it is used."""

from pathlib import Path

import pytest
import torch

from trimtab_api.v1alpha1.model import Task
from trimtab_trainer.errors import UserError
from trimtab_trainer.models.task import AbstractTask, Classification, build_task
from user_modules import write_module


def user_task(folder: Path, source: str) -> AbstractTask:
    name = write_module(folder, source)
    return build_task(Task(entrypoint=f"{name}:Task"), code_dir=folder)


def test_accuracy_is_a_fraction_and_loss_the_mean_cross_entropy() -> None:
    output = torch.tensor([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0], [2.0, 0.0]])
    metrics = Classification().metrics(output, torch.tensor([0, 1, 0, 1]))
    assert set(metrics) == {"accuracy", "loss"}
    assert metrics["accuracy"] == 0.75
    right, wrong = torch.log1p(torch.exp(torch.tensor([-2.0, 2.0]))).tolist()
    assert metrics["loss"] == pytest.approx((3 * right + wrong) / 4)


@pytest.mark.parametrize(("classes", "expected"), [(5, None), (6, 0.5)])
def test_top5_accuracy_is_told_where_it_says_something(
    classes: int, expected: float | None
) -> None:
    output = torch.arange(classes, dtype=torch.float32).repeat(2, 1)
    metrics = Classification().metrics(output, torch.tensor([0, classes - 1]))
    assert metrics.get("top5_accuracy") == expected


def test_a_users_task_gives_loss_and_metrics(tmp_path: Path) -> None:
    task = user_task(
        tmp_path,
        """
        class Task:
            def loss(self, output, target): return (output - target).abs().mean()
            def metrics(self, output, target): return {"error": self.loss(output, target)}
        """,
    )
    output, target = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.0])
    assert float(task.loss(output, target)) == 1.5
    assert task.metrics(output, target) == {"error": 1.5}


def test_f65_an_object_without_metrics_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must return an object with method metrics"):
        user_task(tmp_path, "class Task:\n    def loss(self, output, target): ...\n")


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("1.0", "must be a scalar tensor but is float"),
        ("output", r"must be a scalar tensor but is \(2,\)"),
        ("output / 0 + missing", "raised NameError: name 'missing' is not defined"),
    ],
)
def test_f65_a_loss_that_is_no_scalar_is_a_user_error(
    tmp_path: Path, loss: str, message: str
) -> None:
    task = user_task(
        tmp_path,
        f"""
        class Task:
            def loss(self, output, target): return {loss}
            def metrics(self, output, target): return {{}}
        """,
    )
    with pytest.raises(UserError, match=message):
        task.loss(torch.ones(2), torch.ones(2))


def test_f65_a_metric_that_is_no_number_is_a_user_error(tmp_path: Path) -> None:
    task = user_task(
        tmp_path,
        """
        class Task:
            def loss(self, output, target): ...
            def metrics(self, output, target): return {"rank": "high"}
        """,
    )
    with pytest.raises(UserError, match=r"metrics of task\.entrypoint .* raised ValueError"):
        task.metrics(torch.ones(2), torch.ones(2))
