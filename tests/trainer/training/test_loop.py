"""Training learns, repeats itself for a seed, and stops at a loss that is no number."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typing_extensions import override

from image_data import make_bundle
from toy_training import Rows, make_recipe, make_rows
from trimtab_api.v1alpha1.model import Model
from trimtab_api.v1alpha1.train import Optimizer, PrecisionDtype
from trimtab_trainer.data._base import DataBundle
from trimtab_trainer.errors import DivergedError
from trimtab_trainer.models.catalog import build_model
from trimtab_trainer.models.task import AbstractTask, Classification
from trimtab_trainer.training.loop import EpochResult, evaluate, train
from trimtab_trainer.training.seeding import seed_everything


def run(
    data: DataBundle, *, seed: int = 0, name: str = "small-cnn", **changes: Any
) -> tuple[nn.Module, list[EpochResult]]:
    seed_everything(seed)
    model = build_model(
        Model(builtin=name, args={"width": 8}),
        data=data,
        image_size=None,
        code_dir=None,
        data_root=Path("unused"),
    )
    results = train(
        model, data=data, task=Classification(), recipe=make_recipe(**changes), seed=seed
    )
    return model, list(results)


class Spy(AbstractTask):
    """Notes the sizes of training batches and their targets."""

    def __init__(self, bad_at: int | None = None) -> None:
        self.batches: list[list[int]] = []
        self._bad_at = bad_at

    @override
    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.batches.append(target.tolist())
        scale = float("inf") if len(self.batches) == self._bad_at else 1.0
        return output.sum() * scale

    @override
    def metrics(self, output: torch.Tensor, target: torch.Tensor) -> Mapping[str, float]:
        return {"mean": float(output.mean()), "samples": len(target)}


@pytest.mark.parametrize("optimizer", list(Optimizer))
@pytest.mark.parametrize("dtype", [PrecisionDtype.FP32, PrecisionDtype.BF16])
def test_a_small_network_learns(optimizer: Optimizer, dtype: PrecisionDtype) -> None:
    data = make_bundle(240)
    _, results = run(data, optimizer=optimizer, dtype=dtype, epochs=6)
    assert results[-1].metrics["accuracy"] > 0.9
    assert results[-1].metrics["train_loss"] < results[0].metrics["train_loss"]


@pytest.mark.parametrize("dtype", [PrecisionDtype.FP32, PrecisionDtype.BF16])
def test_the_same_seed_gives_the_same_weights(dtype: PrecisionDtype) -> None:
    data = make_bundle()
    (first, results), (again, repeated), (other, _) = (
        run(data, seed=seed, dtype=dtype, epochs=2) for seed in (1, 1, 2)
    )
    assert [r.metrics for r in results] == [r.metrics for r in repeated]
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    weight = "network.head.weight"
    assert not torch.equal(first.state_dict()[weight], other.state_dict()[weight])


def test_each_epoch_is_reported_with_its_number_and_metrics() -> None:
    model, results = run(make_bundle(), epochs=3)
    assert [(r.epoch, r.epochs) for r in results] == [(1, 3), (2, 3), (3, 3)]
    assert set(results[0].metrics) == {"accuracy", "loss", "train_loss"}
    assert all(r.seconds > 0 for r in results)
    assert not model.training


def test_every_epoch_visits_every_sample_once_in_another_order() -> None:
    spy = Spy()
    list(
        train(
            nn.Linear(2, 1),
            data=make_rows(10),
            task=spy,
            recipe=make_recipe(epochs=2, batch_size=4),
            seed=0,
        )
    )
    assert [len(batch) for batch in spy.batches] == [4, 4, 2] * 2
    first, second = (list(itertools.chain(*spy.batches[part])) for part in (slice(3), slice(3, 6)))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_a_rest_of_one_sample_joins_the_batch_before() -> None:
    spy = Spy()
    list(
        train(
            nn.Linear(2, 1),
            data=make_rows(9),
            task=spy,
            recipe=make_recipe(epochs=1, batch_size=4),
            seed=0,
        )
    )
    assert [len(batch) for batch in spy.batches] == [4, 5]


def test_steps_end_within_an_epoch() -> None:
    spy = Spy()
    results = list(
        train(
            nn.Linear(2, 1),
            data=make_rows(12),
            task=spy,
            recipe=make_recipe(epochs=None, steps=5, batch_size=4),
            seed=0,
        )
    )
    assert len(spy.batches) == 5
    assert [(r.epoch, r.epochs) for r in results] == [(1, 2), (2, 2)]


def test_what_the_caller_does_after_each_step_holds_to_the_end() -> None:
    model = nn.Linear(2, 2)

    def keep_first_row_zero() -> None:
        with torch.no_grad():
            model.weight[0] = 0

    epochs = train(
        model,
        data=make_rows(12),
        task=Spy(),
        recipe=make_recipe(epochs=2, batch_size=4),
        seed=0,
        after_step=keep_first_row_zero,
    )
    for _ in epochs:
        assert not model.weight[0].any()
        assert model.weight[1].all()


def test_closing_ends_the_training() -> None:
    spy, model = Spy(), nn.Linear(2, 1)
    results = train(
        model, data=make_rows(4), task=spy, recipe=make_recipe(epochs=9, batch_size=4), seed=0
    )
    next(results)
    results.close()
    assert len(spy.batches) == 1
    assert not model.training


@pytest.mark.parametrize("bad_at", [1, 40])
def test_f49_a_loss_that_is_not_finite_is_noticed_within_sixteen_steps(bad_at: int) -> None:
    spy = Spy(bad_at)
    training = train(
        nn.Linear(2, 1),
        data=make_rows(400),
        task=spy,
        recipe=make_recipe(epochs=1, batch_size=4),
        seed=0,
    )
    with pytest.raises(
        DivergedError, match=r"training loss must be a finite number but is -?(inf|nan)"
    ):
        next(training)
    assert bad_at <= len(spy.batches) <= bad_at + 16


def test_f49_a_metric_that_is_not_finite_ends_the_training() -> None:
    data = make_bundle()
    with pytest.raises(DivergedError, match="must be a finite number"):
        run(data, learning_rate=1e30, optimizer=Optimizer.SGD, epochs=2, name="mlp")


def test_metrics_are_weighted_by_samples() -> None:
    class Numbers(Spy):
        @override
        def metrics(self, output: torch.Tensor, target: torch.Tensor) -> Mapping[str, float]:
            return {**super().metrics(output, target), "mean": float(target.double().mean())}

    for batch_size in (3, 4, 100):
        metrics = evaluate(lambda x: x, Rows(10), Numbers(), batch_size=batch_size)
        assert metrics["mean"] == pytest.approx(4.5)


def test_evaluation_uses_running_statistics_and_gives_the_mode_back() -> None:
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 4)).train()
    before = model[1].state_dict()["running_mean"].clone()
    first = evaluate(model, make_bundle().validation, Classification(), batch_size=3)
    again = evaluate(model, make_bundle().validation, Classification(), batch_size=24)
    assert first == pytest.approx(again)
    assert model.training
    assert torch.equal(model[1].state_dict()["running_mean"], before)
