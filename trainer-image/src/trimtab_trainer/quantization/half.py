"""A network that computes in 16 bits behind a float32 interface.

Called by stage quantize for formats that run a torch program; how it is exported is left to the
caller. Layers that shall stay float32, and those that fp16 cannot hold, get casts around them.
"""

import copy
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from typing_extensions import override

from trimtab_api.v1alpha1.quantize import WeightDtype

__all__ = ["HalfModel"]

_DTYPES = {WeightDtype.FP16: torch.float16, WeightDtype.BF16: torch.bfloat16}


class HalfModel(nn.Module):
    """Takes and returns float32; parameters, buffers and activations between have 16 bits."""

    def __init__(
        self, network: nn.Module, *, dtype: WeightDtype, keep_float: Collection[str] = ()
    ) -> None:
        """Copy a network into 16 bits.

        Args:
            network: A float32 network of one tensor to one tensor; left as it is.
            dtype: fp16 or bf16.
            keep_float: Names of modules that stay float32, with all that is inside them.

        Raises:
            ValueError: A module is unknown, or the type has not 16 bits.
        """
        super().__init__()
        if dtype not in _DTYPES:
            raise ValueError(f"dtype must be fp16 or bf16 but is {dtype}")
        self.dtype = _DTYPES[dtype]
        self.network = copy.deepcopy(network)
        modules = dict(self.network.named_modules())
        unknown = sorted(set(keep_float) - modules.keys())
        if unknown:
            raise ValueError(f"keep_float must name modules of the network but {unknown} are not")
        wanted = {*keep_float, *_find_too_large(modules, self.dtype)}
        self.kept_float = _find_islands(modules, wanted)
        """Names of the modules that stay float32; those inside them are not named."""
        islands = [modules[name] for name in self.kept_float]
        wide = {id(tensor) for island in islands for tensor in _list_tensors(island)}
        for tensor in _list_tensors(self.network):
            if id(tensor) not in wide and tensor.is_floating_point():
                tensor.data = tensor.data.to(self.dtype)
        for island in islands:
            island.register_forward_pre_hook(_widen_inputs, with_kwargs=True)
            island.register_forward_hook(partial(_narrow_outputs, self.dtype))

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.network(_cast(inputs, self.dtype))
        return outputs.float()


def _find_too_large(modules: Mapping[str, nn.Module], dtype: torch.dtype) -> Iterator[str]:
    for name, module in modules.items():
        tensors = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        if any(
            tensor.is_floating_point()
            and not torch.equal(tensor.isfinite(), tensor.to(dtype).isfinite())
            for tensor in tensors
        ):
            yield name


def _find_islands(modules: Mapping[str, nn.Module], wanted: Collection[str]) -> tuple[str, ...]:
    # Attention reads the weights of its parts without calling them, so it is kept as a whole.
    whole = {
        parent if isinstance(modules[parent], nn.MultiheadAttention) else name
        for name in wanted
        for parent in [name.rpartition(".")[0]]
    }
    return tuple(name for name in modules if name in whole and not _has_ancestor(name, whole))


def _has_ancestor(name: str, wanted: Collection[str]) -> bool:
    parts = name.split(".") if name else []
    return any(".".join(parts[:depth]) in wanted for depth in range(len(parts)))


def _list_tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _widen_inputs(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    del module
    widened: tuple[tuple[Any, ...], dict[str, Any]] = _cast((args, kwargs), torch.float32)
    return widened


def _narrow_outputs(dtype: torch.dtype, module: nn.Module, args: object, outputs: Any) -> Any:
    del module, args
    return _cast(outputs, dtype)


def _cast(values: Any, dtype: torch.dtype) -> Any:
    return pytree.tree_map_only(
        Tensor, lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor, values
    )
