"""The loss scale halves, skips and grows as PyTorch's own, and a collapse ends the type."""

import pytest
import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from trimtab_api.v1alpha1.train import LossScaleMode, PrecisionDtype
from trimtab_trainer.errors import DivergedError
from trimtab_trainer.training.precision import Precision
from trimtab_trainer.training.recipe import PrecisionSettings
from trimtab_trainer.training.scaling import MAX_STREAK, SCALE_FLOOR, LossScaling

CPU = torch.device("cpu")
FP16 = Precision(PrecisionDtype.FP16, emulated=True)


def make_scaling(
    mode: LossScaleMode = LossScaleMode.AUTO,
    value: float | None = None,
    dtype: PrecisionDtype = PrecisionDtype.FP16,
) -> LossScaling:
    settings = PrecisionSettings(loss_scale=mode, loss_scale_value=value)
    return LossScaling(settings, Precision(dtype, emulated=True), CPU)


def make_weight() -> tuple[nn.Parameter, torch.optim.Optimizer]:
    weight = nn.Parameter(torch.ones(2))
    return weight, torch.optim.SGD([weight], lr=0.125, fused=True)


def take_step(
    scaling: LossScaling,
    weight: nn.Parameter,
    optimizer: torch.optim.Optimizer,
    *,
    overflow: bool,
) -> None:
    optimizer.zero_grad()
    loss = weight.sum() * (float("inf") if overflow else 1.0)
    torch.autograd.backward(scaling.scale(loss))
    scaling.step(optimizer)


@pytest.mark.parametrize(
    ("mode", "dtype", "expected"),
    [
        (LossScaleMode.AUTO, PrecisionDtype.FP16, 65536.0),
        (LossScaleMode.AUTO, PrecisionDtype.FP8, 65536.0),
        (LossScaleMode.AUTO, PrecisionDtype.BF16, None),
        (LossScaleMode.AUTO, PrecisionDtype.FP32, None),
        (LossScaleMode.DYNAMIC, PrecisionDtype.BF16, 65536.0),
        (LossScaleMode.OFF, PrecisionDtype.FP16, None),
    ],
)
def test_auto_scales_where_the_type_is_narrow(
    mode: LossScaleMode, dtype: PrecisionDtype, expected: float | None
) -> None:
    assert make_scaling(mode, dtype=dtype).current_scale() == expected


def test_f49_the_scale_halves_skips_and_grows_as_pytorchs_own() -> None:
    overflows = [step in {0, 1, 5, 2050} for step in range(2100)]
    scaling, (weight, optimizer) = make_scaling(), make_weight()
    reference, (by_hand, other) = GradScaler("cpu"), make_weight()
    skipped = 0
    for overflow in overflows:
        take_step(scaling, weight, optimizer, overflow=overflow)
        other.zero_grad()
        loss = by_hand.sum() * (float("inf") if overflow else 1.0)
        torch.autograd.backward(reference.scale(loss))
        reference.step(other)
        reference.update()
        assert scaling.current_scale() == reference.get_scale()
        skipped += overflow
    assert torch.equal(weight, by_hand)
    assert scaling.take_overflows() == skipped
    assert scaling.take_overflows() == 0
    # Three halvings, a growth after 2,000 good steps, and a halving.
    assert scaling.current_scale() == 65536.0 / 8 * 2 / 2


def test_the_value_is_the_first_scale_of_dynamic() -> None:
    scaling, (weight, optimizer) = make_scaling(LossScaleMode.DYNAMIC, 8.0), make_weight()
    assert scaling.current_scale() == 8.0
    take_step(scaling, weight, optimizer, overflow=True)
    assert scaling.current_scale() == 4.0


def test_static_keeps_its_value_and_still_skips() -> None:
    scaling, (weight, optimizer) = make_scaling(LossScaleMode.STATIC, 128.0), make_weight()
    for overflow in (False, True, True, False):
        take_step(scaling, weight, optimizer, overflow=overflow)
        assert scaling.current_scale() == 128.0
    assert scaling.take_overflows() == 2
    assert weight.tolist() == [0.75, 0.75]


def test_off_neither_scales_nor_skips() -> None:
    scaling, (weight, optimizer) = make_scaling(LossScaleMode.OFF), make_weight()
    take_step(scaling, weight, optimizer, overflow=True)
    assert scaling.take_overflows() == 0
    assert not weight.isfinite().any()
    scaling.refuse_collapse("step 1")


@pytest.mark.parametrize("mode", [LossScaleMode.STATIC, LossScaleMode.DYNAMIC])
def test_f49_a_storm_of_overflows_ends_the_type(mode: LossScaleMode) -> None:
    scaling, (weight, optimizer) = make_scaling(mode, 2.0**32), make_weight()
    for _ in range(MAX_STREAK - 1):
        take_step(scaling, weight, optimizer, overflow=True)
    if mode is LossScaleMode.STATIC:
        scaling.refuse_collapse("step 39")
    take_step(scaling, weight, optimizer, overflow=True)
    with pytest.raises(DivergedError, match="fewer than 40 steps in a row may overflow but 40 did"):
        scaling.refuse_collapse("step 40")
    assert weight.tolist() == [1.0, 1.0]


def test_a_good_step_ends_a_streak() -> None:
    scaling, (weight, optimizer) = make_scaling(LossScaleMode.STATIC, 2.0), make_weight()
    for step in range(MAX_STREAK * 2):
        take_step(scaling, weight, optimizer, overflow=step != MAX_STREAK)
    scaling.refuse_collapse("step 80")


def test_f49_a_scale_below_the_floor_ends_the_type() -> None:
    scaling = make_scaling(LossScaleMode.DYNAMIC, SCALE_FLOOR)
    weight, optimizer = make_weight()
    scaling.refuse_collapse("step 0")
    take_step(scaling, weight, optimizer, overflow=True)
    with pytest.raises(DivergedError, match=r"must be at least 0\.015625 but is 0\.0078125 at st"):
        scaling.refuse_collapse("step 1")


def test_the_state_goes_on_where_it_was() -> None:
    first, (weight, optimizer) = make_scaling(), make_weight()
    for overflow in (True, False, True, True):
        take_step(first, weight, optimizer, overflow=overflow)
    first.take_overflows()
    second = make_scaling()
    second.restore(first.state())
    assert second.state() == first.state()
    assert second.current_scale() == 65536.0 / 8
    assert second.state()["streak"] == 2
