"""In which type a forward pass computes: what the manifest's dtype means on this device.

Called by the training loop. Weights and optimizer stay fp32 always.
"""

import re
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import assert_never

import torch

from trimtab_api.v1alpha1.train import PrecisionDtype

__all__ = ["autocast", "read_cpu_flags", "resolve_dtype"]

_CPU_INFO = Path("/proc/cpuinfo")
_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # x86, x86, arm64


def resolve_dtype(dtype: PrecisionDtype, device: str, cpu_flags: frozenset[str]) -> torch.dtype:
    """Return the type to compute in.

    Auto is bf16 where the hardware multiplies in it, else fp32: emulated, it is slower than fp32.

    Args:
        dtype: What the manifest says.
        device: `cpu` or `cuda`.
        cpu_flags: What this machine's processor can do, from `read_cpu_flags`.
    """
    match dtype:
        case PrecisionDtype.FP32:
            return torch.float32
        case PrecisionDtype.BF16:
            return torch.bfloat16
        case PrecisionDtype.AUTO:
            native = device != "cpu" or bool(cpu_flags & _BF16_FLAGS)
            return torch.bfloat16 if native else torch.float32
        case _:
            assert_never(dtype)


def read_cpu_flags(source: Path = _CPU_INFO) -> frozenset[str]:
    """Return the processor's feature flags as Linux lists them; none where there is no list."""
    try:
        text = source.read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, flags=re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()


def autocast(dtype: torch.dtype, device: str) -> AbstractContextManager[object]:
    """Return the context in which forward passes compute in this type."""
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device, dtype=dtype)
