"""Linear layers train with 8-bit inputs of their products, and stay the layers they are."""

import pytest
import torch
from torch import nn

from trimtab_trainer.training.float8 import fits_float8, float8_forward


def compute(layer: nn.Linear, inputs: torch.Tensor, how: bool | None) -> list[torch.Tensor]:
    """Return output and the two gradients: in 8 bits, emulated or not, or in fp32."""
    layer.zero_grad()
    leaf = inputs.clone().requires_grad_()
    forward = layer.forward if how is None else float8_forward(layer, emulated=how)
    outputs = forward(leaf)
    torch.autograd.backward(outputs.float().square().sum())
    assert leaf.grad is not None
    assert layer.weight.grad is not None
    return [outputs.detach().float(), leaf.grad, layer.weight.grad.clone()]


@pytest.fixture
def layer() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(32, 48)


@pytest.mark.parametrize("shape", [(16, 32), (7, 32), (3, 5, 32), (32,)])
def test_outputs_and_gradients_are_near_those_of_fp32(
    layer: nn.Linear, shape: tuple[int, ...]
) -> None:
    inputs = torch.randn(*shape)
    for found, expected in zip(
        compute(layer, inputs, True), compute(layer, inputs, None), strict=True
    ):
        assert found.shape == expected.shape
        # e4m3 keeps 3 bits of mantissa, e5m2 keeps 2: each factor is off by up to 1/16 or 1/8.
        assert (found - expected).norm() < 0.1 * expected.norm()
        assert not torch.equal(found, expected)


@pytest.mark.parametrize("rows", [16, 7])
def test_the_emulation_is_what_the_scaled_product_computes(layer: nn.Linear, rows: int) -> None:
    inputs = torch.randn(rows, 32)
    for emulated, real in zip(
        compute(layer, inputs, True), compute(layer, inputs, False), strict=True
    ):
        torch.testing.assert_close(emulated, real, rtol=2**-7, atol=1e-6)


def test_autocast_changes_nothing(layer: nn.Linear) -> None:
    inputs = torch.randn(8, 32)
    alone = float8_forward(layer, emulated=True)(inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = float8_forward(layer, emulated=True)(inputs)
    assert inside.dtype == torch.bfloat16
    assert torch.equal(alone, inside)


@pytest.mark.parametrize("factor", [1e-20, 1.0, 1e20])
def test_the_scale_follows_the_values(layer: nn.Linear, factor: float) -> None:
    inputs = torch.randn(8, 32)
    layer.bias.data.zero_()
    usual, scaled = (
        float8_forward(layer, emulated=True)(x).float() for x in (inputs, inputs * factor)
    )
    torch.testing.assert_close(scaled / factor, usual, rtol=0.02, atol=0.02)


def test_zeros_stay_zeros_and_overflow_stays_visible(layer: nn.Linear) -> None:
    layer.bias.data.zero_()
    forward = float8_forward(layer, emulated=True)
    assert torch.equal(forward(torch.zeros(4, 32)).float(), torch.zeros(4, 48))
    for bad in (float("inf"), float("nan")):
        inputs = torch.ones(4, 32)
        inputs[1, 2] = bad
        assert not forward(inputs).isfinite().all()


class Special(nn.Linear):
    """A subclass may compute something else."""


@pytest.mark.parametrize(
    ("module", "fits"),
    [
        (nn.Linear(16, 32), True),
        (nn.Linear(16, 32, bias=False), True),
        (nn.Linear(16, 10), False),
        (nn.Linear(20, 16), False),
        (Special(16, 16), False),
        (nn.Conv2d(16, 16, 1), False),
        (nn.MultiheadAttention(16, 2).out_proj, False),
    ],
)
def test_only_plain_linear_layers_of_sixteens_fit(module: nn.Module, fits: bool) -> None:
    assert fits_float8(module) == fits


def test_a_layer_without_bias_computes() -> None:
    layer = nn.Linear(16, 16, bias=False)
    assert float8_forward(layer, emulated=True)(torch.ones(2, 16)).shape == (2, 16)
