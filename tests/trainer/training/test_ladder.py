"""When a type does not suffice, the epoch is done again in the next wider one that is declared."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn
from typing_extensions import override

from toy_training import Regression, make_net, make_points, make_recipe
from trimtab_api.v1alpha1.train import FloatDtype, PrecisionDtype
from trimtab_trainer.errors import DivergedError, UserError
from trimtab_trainer.training.loop import EpochResult, Training, train
from trimtab_trainer.training.scaling import MAX_STREAK

BF16, FP32 = FloatDtype.BF16, FloatDtype.FP32


class Hot(Regression):
    """A loss that is no number in given types, from a given step on."""

    def __init__(self, model: nn.Module, bad: Mapping[torch.dtype, int]) -> None:
        self.steps = 0
        self.seen: torch.dtype | None = None
        self._bad = bad
        model.register_forward_hook(self._note)

    def _note(self, *call: Any) -> None:
        *_, output = call
        self.seen = output.dtype

    @override
    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        loss = super().loss(output, target)
        if not torch.is_grad_enabled():
            return loss
        self.steps += 1
        first = self._bad.get(self.seen or output.dtype)
        return loss * float("nan") if first is not None and self.steps > first else loss


def run(model: nn.Module, task: Regression, **changes: Any) -> list[EpochResult]:
    recipe = make_recipe(**{"epochs": 2, "batch_size": 4, **changes})
    return list(train(model, data=make_points(16), task=task, recipe=recipe, seed=1))


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def test_f49_a_loss_that_is_no_number_goes_on_in_the_next_type() -> None:
    model = make_net()
    results = run(
        model,
        Hot(model, {torch.float16: 0}),
        dtype=PrecisionDtype.FP16,
        fallback=(BF16, FP32),
    )
    assert [result.numerics.dtype for result in results] == ["bf16", "bf16"]
    assert [result.numerics.fallback_from for result in results] == ["fp16", None]
    assert [result.numerics.loss_scale for result in results] == [None, None]
    assert results[0].numerics.overflows > 0


def test_the_epoch_is_done_again_from_its_start() -> None:
    """One good epoch in bf16, then fp32: as if bf16 had been taken for the first only."""
    model = make_net(dropout=0.2)
    results = run(
        model, Hot(model, {torch.bfloat16: 6}), dtype=PrecisionDtype.BF16, fallback=(FP32,)
    )
    assert [result.numerics.dtype for result in results] == ["bf16", "fp32"]
    other = make_net(dropout=0.2)
    recipe = make_recipe(epochs=2, batch_size=4, dtype=PrecisionDtype.BF16)
    first = Training(other, data=make_points(16), task=Regression(), recipe=recipe, seed=1)
    next(event for event in first.run() if isinstance(event, EpochResult))
    state = first.state()
    state.facts["dtype"] = "fp32"  # type: ignore[index]  # a state as if it had been fp32 before
    second = Training(other, data=make_points(16), task=Regression(), recipe=recipe, seed=1)
    second.restore(state)
    list(second.run())
    assert torch.equal(weights(model), weights(other))


def test_types_are_passed_over_until_one_suffices() -> None:
    model = make_net()
    results = run(
        model,
        Hot(model, {torch.float16: 0, torch.bfloat16: 0}),
        dtype=PrecisionDtype.FP16,
        fallback=(BF16, FP32),
    )
    assert results[0].numerics.dtype == "fp32"
    assert results[0].numerics.fallback_from == "fp16"


@pytest.mark.parametrize("fallback", [(), (BF16,)])
def test_f49_without_a_wider_type_the_training_has_diverged(
    fallback: tuple[FloatDtype, ...],
) -> None:
    model = make_net()
    task = Hot(model, {torch.float16: 4, torch.bfloat16: 4})
    with pytest.raises(
        DivergedError, match=r"training loss must be .* is nan at step \d+ in (fp|bf)16"
    ):
        run(model, task, dtype=PrecisionDtype.FP16, fallback=fallback)
    assert not model.training


def test_f49_a_storm_of_overflows_goes_on_in_a_wider_type() -> None:
    class Steep(Regression):
        """Its gradient overflows with any scale, while its value does not."""

        def __init__(self) -> None:
            self.narrow = True

        @override
        def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            loss = super().loss(output, target)
            steep = _Steep.apply(loss) if self.narrow and torch.is_grad_enabled() else loss
            assert isinstance(steep, torch.Tensor)
            return steep

    task = Steep()
    model = make_net()

    def widen(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        task.narrow = output.dtype == torch.float16

    model.register_forward_hook(widen)
    steps = MAX_STREAK + 30
    results = run(model, task, dtype=PrecisionDtype.FP16, fallback=(FP32,), epochs=steps // 4)
    changed = [r.epoch for r in results if r.numerics.fallback_from == "fp16"]
    # 23 halvings from 65536 are below the floor: within the 6th epoch of 4 steps.
    assert changed == [6]
    assert [r.numerics.overflows for r in results] == [4] * 6 + [0] * (len(results) - 6)


class _Steep(torch.autograd.Function):
    @staticmethod
    @override
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        return value.clone()

    @staticmethod
    @override
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * float("inf")


def test_a_pattern_of_kept_layers_that_matches_none_is_the_users_error() -> None:
    with pytest.raises(UserError, match=r"train\.precision\.keepFloat: 'none\*' matches no layer"):
        run(make_net(), Regression(), keep_float=("none*",))
