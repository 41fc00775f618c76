"""A replaced forward leaves no trace, and a kept layer computes in fp32 whatever is around it."""

import pytest
import torch
from torch import nn
from typing_extensions import override

from trimtab_trainer.training.forwards import keep_float, replaced


def test_a_module_is_itself_again_also_after_an_error() -> None:
    layer = nn.Linear(2, 2)
    before = dict(vars(layer))
    with pytest.raises(ZeroDivisionError), replaced({layer: lambda inputs: inputs}):
        assert layer(torch.tensor([3.0])).item() == 3.0
        raise ZeroDivisionError
    assert vars(layer) == before
    assert "forward" not in vars(layer)


def test_a_modules_own_function_comes_back() -> None:
    layer = nn.Identity()

    def double(inputs: torch.Tensor) -> torch.Tensor:
        return inputs * 2

    vars(layer)["forward"] = double
    with replaced({layer: lambda inputs: inputs * 3}):
        assert layer(torch.tensor(1.0)) == 3.0
    assert layer(torch.tensor(1.0)) == 2.0


def test_a_kept_layer_computes_and_takes_gradients_in_fp32() -> None:
    layer = nn.Linear(8, 8)
    inputs = torch.randn(4, 8, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(inputs).dtype == torch.bfloat16
        with replaced({layer: keep_float(layer, "cpu")}):
            outputs = layer(inputs)
        assert torch.is_autocast_enabled("cpu")
    assert outputs.dtype == torch.float32
    assert torch.equal(outputs, nn.functional.linear(inputs.float(), layer.weight, layer.bias))
    outputs.sum().backward()
    assert inputs.grad is not None


def test_inputs_in_lists_and_by_name_are_cast_and_others_left() -> None:
    class Join(nn.Module):
        @override
        def forward(self, parts: list[torch.Tensor], *, index: torch.Tensor) -> list[torch.dtype]:
            return [part.dtype for part in [*parts, index]]

    module = Join()
    half, index = torch.ones(1, dtype=torch.float16), torch.tensor([1])
    with replaced({module: keep_float(module, "cpu")}):
        assert module([half, half], index=index) == [torch.float32, torch.float32, torch.int64]
