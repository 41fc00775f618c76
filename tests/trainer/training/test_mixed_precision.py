"""Narrow types, parts of a batch and 8-bit layers train as fp32 at once does, within their rounding."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import torch
from torch import nn
from typing_extensions import override

from toy_training import Regression, make_net, make_points, make_recipe
from trimtab_api.v1alpha1.train import LossScaleMode, Optimizer, PrecisionDtype
from trimtab_trainer.models.task import AbstractTask
from trimtab_trainer.training.loop import EpochResult, StepProgress, Training, train

PLAIN = {"optimizer": Optimizer.SGD, "momentum": 0.0, "weight_decay": 0.0}


def fit(
    model: nn.Module, *, samples: int = 32, task: AbstractTask | None = None, **changes: Any
) -> list[EpochResult]:
    recipe = make_recipe(**{"epochs": 1, **PLAIN, **changes})
    data = make_points(samples)
    return list(train(model, data=data, task=task or Regression(), recipe=recipe, seed=1))


def change(**changes: Any) -> torch.Tensor:
    """Return what a training adds to the weights: for one step of plain SGD, the gradient."""
    model = make_net()
    before = torch.cat([weight.detach().flatten() for weight in model.parameters()])
    fit(model, **changes)
    return torch.cat([weight.detach().flatten() for weight in model.parameters()]) - before


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [
        (PrecisionDtype.TF32, 0.0),
        (PrecisionDtype.FP16, 2e-3),  # 11 bits of mantissa
        (PrecisionDtype.BF16, 2e-2),  # 8 bits
        (PrecisionDtype.FP8, 2e-1),  # 4 and 3 bits in the linear layers
    ],
)
@pytest.mark.parametrize("epochs", [1, 5])
def test_gradients_and_parameters_equal_those_of_fp32(
    dtype: PrecisionDtype, tolerance: float, epochs: int
) -> None:
    expected = change(epochs=epochs, batch_size=32)
    found = change(epochs=epochs, batch_size=32, dtype=dtype)
    assert (found - expected).norm() <= tolerance * expected.norm()
    if tolerance:
        assert not torch.equal(found, expected)


class Faint(Regression):
    """Its gradients are below what fp16 can hold."""

    @override
    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return super().loss(output, target) * 1e-8


def test_scaling_saves_gradients_that_fp16_would_lose() -> None:
    settings: dict[str, Any] = {"task": Faint(), "learning_rate": 1e6, "batch_size": 32}
    expected = change(**settings)
    scaled = change(**settings, dtype=PrecisionDtype.FP16)
    lost = change(**settings, dtype=PrecisionDtype.FP16, loss_scale=LossScaleMode.OFF)
    assert (scaled - expected).norm() <= 1e-2 * expected.norm()
    assert (lost - expected).norm() > 0.5 * expected.norm()


@pytest.mark.parametrize("steps", [2, 3, 8])
@pytest.mark.parametrize("dtype", [PrecisionDtype.FP32, PrecisionDtype.FP16])
def test_parts_of_a_batch_give_the_gradient_of_the_whole(steps: int, dtype: PrecisionDtype) -> None:
    settings: dict[str, Any] = {"samples": 37, "batch_size": 15, "epochs": 2, "dtype": dtype}
    settings["loss_scale_value"] = 256.0  # a whole batch overflows sooner than its parts
    whole, parts = change(**settings), change(**settings, accumulate_steps=steps)
    tolerance = 1e-5 if dtype is PrecisionDtype.FP32 else 2e-3
    assert (parts - whole).norm() <= tolerance * whole.norm()


def test_an_overflow_in_one_part_skips_the_whole_step() -> None:
    class Spike(Regression):
        calls = 0

        @override
        def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            self.calls += torch.is_grad_enabled()
            # Large enough to overflow once it is scaled, not before.
            return super().loss(output, target) * (1e35 if self.calls == 2 else 1.0)

    model = make_net()
    before = [weight.detach().clone() for weight in model.parameters()]
    recipe = make_recipe(
        epochs=1, batch_size=32, accumulate_steps=4, dtype=PrecisionDtype.FP16, **PLAIN
    )
    (result,) = train(model, data=make_points(32), task=Spike(), recipe=recipe, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True))
    assert result.numerics.overflows == 1
    assert result.numerics.loss_scale == 32768.0


def test_numerics_are_told_for_each_epoch() -> None:
    (fp16,) = fit(make_net(), dtype=PrecisionDtype.FP16)
    assert fp16.numerics.dtype == "fp16"
    assert fp16.numerics.loss_scale == 65536.0
    assert fp16.numerics.overflows == 0
    (fp32,) = fit(make_net())
    assert (fp32.numerics.dtype, fp32.numerics.emulated) == ("fp32", False)
    assert fp32.numerics.loss_scale is None
    (fp8,) = fit(make_net(), dtype=PrecisionDtype.FP8)
    assert (fp8.numerics.dtype, fp8.numerics.emulated) == ("fp8", True)


class Watch:
    """Notes the types that layers put out while they train."""

    def __init__(self, model: nn.Module) -> None:
        self.training: dict[str, torch.dtype] = {}
        self.evaluation: dict[str, torch.dtype] = {}
        for name, layer in model.named_children():
            layer.register_forward_hook(self._noting(name))

    def _noting(self, name: str) -> Any:
        def note(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            (self.training if module.training else self.evaluation)[name] = output.dtype

        return note


def test_kept_layers_compute_in_fp32_and_the_others_do_not() -> None:
    model = make_net()
    watch = Watch(model)
    fit(model, dtype=PrecisionDtype.BF16, keep_float=("3",))
    assert watch.training["0"] == torch.bfloat16
    assert watch.training["3"] == torch.float32
    assert watch.training["4"] == torch.bfloat16
    assert set(watch.evaluation.values()) == {torch.float32}


@pytest.fixture
def ticks() -> Iterator[float]:
    return iter(float(second) for second in range(10000))


@pytest.mark.parametrize("end", ["finished", "closed in an epoch", "closed between epochs"])
def test_a_model_keeps_its_own_layers(end: str, ticks: Iterator[float]) -> None:
    model = make_net()
    before = {name: (type(m), set(vars(m))) for name, m in model.named_modules()}
    names = list(model.state_dict())
    training = Training(
        model,
        data=make_points(32),
        task=Regression(),
        recipe=make_recipe(dtype=PrecisionDtype.FP8, keep_float=("4",), epochs=2),
        seed=0,
        clock=ticks.__next__,
    )
    with closing(training.run()) as events:
        for event in events:
            if isinstance(event, StepProgress) and end == "closed in an epoch":
                assert "forward" in vars(model[0])
                assert "forward" in vars(model[4])
                break
            if isinstance(event, EpochResult) and end == "closed between epochs":
                assert "forward" not in vars(model[0])
                break
    assert {name: (type(m), set(vars(m))) for name, m in model.named_modules()} == before
    assert list(model.state_dict()) == names
    assert not model.training


def test_progress_is_told_once_a_second_and_says_where_it_is() -> None:
    now = iter(0.3 * tick for tick in range(10000))
    training = Training(
        make_net(),
        data=make_points(40),
        task=Regression(),
        recipe=make_recipe(epochs=2, batch_size=4),
        seed=0,
        clock=now.__next__,
    )
    events = list(training.run())
    told = [event for event in events if isinstance(event, StepProgress)]
    # 0.3 s pass with each look: after each of ten steps, and after the one batch of evaluation.
    assert [event.step for event in told if event.epoch == 1] == [4, 8]
    assert [(event.epoch, event.step) for event in told if event.epoch == 2] == [
        (2, 1),
        (2, 5),
        (2, 9),
    ]
    assert {event.steps for event in told} == {10}
    assert [type(event) for event in events].count(EpochResult) == 2


def test_a_long_evaluation_tells_that_it_goes_on(ticks: Iterator[float]) -> None:
    training = Training(
        make_net(),
        data=make_points(600),
        task=Regression(),
        recipe=make_recipe(epochs=1, batch_size=600),
        seed=0,
        clock=ticks.__next__,
    )
    events = list(training.run())
    assert events[:-1] == [StepProgress(1, 1, 1)] * 4
