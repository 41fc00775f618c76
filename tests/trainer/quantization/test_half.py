"""A network in 16 bits takes and gives float32 and keeps what it is told to keep."""

import pytest
import torch
from torch import Tensor, nn

from small_exports import ResidualNet, TokenNet
from trimtab_api.v1alpha1.quantize import WeightDtype
from trimtab_trainer.quantization.half import HalfModel

HALF_TYPES = {WeightDtype.FP16: torch.float16, WeightDtype.BF16: torch.bfloat16}


def make_inputs() -> Tensor:
    return torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(0))


def list_dtypes(module: nn.Module) -> set[torch.dtype]:
    tensors = [*module.parameters(), *module.buffers()]
    return {tensor.dtype for tensor in tensors if tensor.is_floating_point()}


@pytest.mark.parametrize("net", [ResidualNet(), TokenNet()], ids=["residual", "token"])
@pytest.mark.parametrize("dtype", HALF_TYPES)
@torch.no_grad()
def test_outputs_are_float32_and_close(net: nn.Module, dtype: WeightDtype) -> None:
    net.eval()
    half = HalfModel(net, dtype=dtype)
    outputs, expected = half(make_inputs()), net(make_inputs())
    assert outputs.dtype == torch.float32
    assert 0 < (outputs - expected).abs().max() < 0.03 * expected.abs().max()
    assert list_dtypes(half) == {HALF_TYPES[dtype]}
    assert list_dtypes(net) == {torch.float32}


@torch.no_grad()
def test_kept_modules_compute_in_float32() -> None:
    half = HalfModel(
        ResidualNet().eval(), dtype=WeightDtype.BF16, keep_float={"block", "block.0", "head"}
    )
    assert half.kept_float == ("block", "head")
    assert list_dtypes(half.network.get_submodule("block")) == {torch.float32}
    assert list_dtypes(half.network.get_submodule("stem")) == {torch.bfloat16}
    seen = {}
    for name in ("stem", "block.0", "head"):
        half.network.get_submodule(name).register_forward_hook(
            lambda module, args, output, name=name: seen.update({name: args[0].dtype})
        )
    assert half(make_inputs()).dtype == torch.float32
    assert seen == {"stem": torch.bfloat16, "block.0": torch.float32, "head": torch.float32}


@torch.no_grad()
def test_attention_is_kept_as_a_whole() -> None:
    net = TokenNet().eval()
    half = HalfModel(net, dtype=WeightDtype.FP16, keep_float={"attention.out_proj"})
    assert half.kept_float == ("attention",)
    assert torch.allclose(half(make_inputs()), net(make_inputs()), atol=0.01)


@torch.no_grad()
def test_f68_a_layer_that_fp16_cannot_hold_stays_float_and_is_listed() -> None:
    net = ResidualNet().eval()
    net.head.weight[0, 0] = 1e5
    assert HalfModel(net, dtype=WeightDtype.FP16).kept_float == ("head",)
    assert HalfModel(net, dtype=WeightDtype.BF16).kept_float == ()


@torch.no_grad()
def test_tied_weights_stay_tied() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 36), nn.Linear(36, 36))
    net[2].weight = net[1].weight
    half = HalfModel(net, dtype=WeightDtype.BF16)
    assert len(list(half.parameters())) == 3
    assert list_dtypes(half) == {torch.bfloat16}


@pytest.mark.parametrize("dtype", HALF_TYPES)
def test_it_can_be_traced_with_a_free_batch(dtype: WeightDtype) -> None:
    half = HalfModel(TokenNet().eval(), dtype=dtype, keep_float={"mlp.2"})
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(half, (make_inputs(),), dynamic_shapes=shapes)
    with torch.no_grad():
        inputs = make_inputs()[:3]
        assert torch.allclose(program.module()(inputs), half(inputs), atol=0.02)


def test_unknown_modules_and_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\['nothing'\] are not"):
        HalfModel(ResidualNet(), dtype=WeightDtype.BF16, keep_float={"nothing"})
    with pytest.raises(ValueError, match="fp16 or bf16 but is int8"):
        HalfModel(ResidualNet(), dtype=WeightDtype.INT8)
