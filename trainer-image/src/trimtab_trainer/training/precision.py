"""In which type a network computes: what the manifest's dtype means on this device.

Called by the training loop and by the preflight. Weights and optimizer stay fp32 always; how
the loss is scaled is `scaling.py`, which layers are exempt `keep_float.py`.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

import torch

from trimtab_api.v1alpha1.train import FloatDtype, PrecisionDtype

__all__ = [
    "Hardware",
    "Precision",
    "autocast",
    "float_products",
    "next_wider",
    "read_cpu_flags",
    "read_hardware",
    "resolve_precision",
]

_CPU_INFO = Path("/proc/cpuinfo")
_CPU_BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # x86, x86, arm64
_CPU_AMX = frozenset({"amx_bf16"})
"""Processors whose bf16 is fast by AMX alone, which PyTorch is kept off (decision 0021)."""
_CPU_FP16 = frozenset({"avx512_fp16", "amx_fp16", "asimdhp"})  # x86, x86, arm64
_AMPERE = (8, 0)
"""The first GPUs that multiply in bf16 and tf32."""
_ADA = (8, 9)
"""The first GPUs that multiply in 8-bit floats."""
_WIDTH = {
    PrecisionDtype.FP8: 0,
    PrecisionDtype.FP16: 1,
    PrecisionDtype.BF16: 2,
    PrecisionDtype.TF32: 3,
    PrecisionDtype.FP32: 4,
}
"""Each reaches further or is finer than those before; bf16 has the range of fp32."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """What decides about types."""

    device: str
    """`cpu` or `cuda`."""
    cpu_flags: frozenset[str] = frozenset()
    """What the processor can do, as Linux names it."""
    capability: tuple[int, int] | None = None
    """Compute capability of the GPU, such as (9, 0)."""


@dataclass(frozen=True, slots=True)
class Precision:
    """A type to compute in, on one device."""

    dtype: PrecisionDtype
    """Never Auto."""
    emulated: bool
    """Whether the device has no such type and computes it in another."""

    @property
    def cast(self) -> torch.dtype:
        """What autocast casts to; fp32 is not cast."""
        match self.dtype:
            case PrecisionDtype.FP16:
                return torch.float16
            case PrecisionDtype.BF16 | PrecisionDtype.FP8:
                return torch.bfloat16
            case _:
                return torch.float32

    @property
    def width(self) -> int:
        """Place in the order of types; emulated tf32 is fp32."""
        is_fp32 = self.dtype is PrecisionDtype.TF32 and self.emulated
        return _WIDTH[PrecisionDtype.FP32 if is_fp32 else self.dtype]


def resolve_precision(dtype: PrecisionDtype, hardware: Hardware) -> Precision:
    """Return the type to compute in.

    Auto is bf16 where the hardware multiplies in it, except on a processor with AMX, else fp16 on
    a GPU and fp32 on a CPU: emulated types are slower than fp32, and so is bf16 without AMX there.
    """
    if dtype is PrecisionDtype.AUTO:
        if _is_native(PrecisionDtype.BF16, hardware) and not _has_flag(hardware, _CPU_AMX):
            dtype = PrecisionDtype.BF16
        else:
            dtype = PrecisionDtype.FP32 if hardware.device == "cpu" else PrecisionDtype.FP16
    return Precision(dtype, emulated=not _is_native(dtype, hardware))


def next_wider(
    current: Precision, ladder: Sequence[FloatDtype], hardware: Hardware
) -> Precision | None:
    """Return the first type of a ladder that is wider than the current one; None without any."""
    steps = (resolve_precision(PrecisionDtype(step), hardware) for step in ladder)
    return next((step for step in steps if step.width > current.width), None)


def _is_native(dtype: PrecisionDtype, hardware: Hardware) -> bool:
    capability = hardware.capability or (0, 0)
    match dtype:
        case PrecisionDtype.BF16:
            return capability >= _AMPERE or _has_flag(hardware, _CPU_BF16)
        case PrecisionDtype.FP16:
            return hardware.device != "cpu" or _has_flag(hardware, _CPU_FP16)
        case PrecisionDtype.TF32:
            return capability >= _AMPERE
        case PrecisionDtype.FP8:
            return capability >= _ADA
        case PrecisionDtype.FP32 | PrecisionDtype.AUTO:
            return True
        case _:
            assert_never(dtype)


def _has_flag(hardware: Hardware, flags: frozenset[str]) -> bool:
    return hardware.device == "cpu" and bool(hardware.cpu_flags & flags)


def read_hardware(device: str) -> Hardware:
    """Return what this process' device can do.

    Args:
        device: `cpu` or `cuda`.
    """
    if device == "cpu":
        return Hardware(device, cpu_flags=read_cpu_flags())
    return Hardware(device, capability=torch.cuda.get_device_capability())


def read_cpu_flags(source: Path = _CPU_INFO) -> frozenset[str]:
    """Return the processor's feature flags as Linux lists them; none where there is no list."""
    try:
        text = source.read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, flags=re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()


def autocast(precision: Precision, device: str) -> AbstractContextManager[object]:
    """Return the context in which forward passes compute in a type."""
    if precision.cast == torch.float32:
        return nullcontext()
    return torch.autocast(device, dtype=precision.cast)


def float_products(precision: Precision, device: str) -> AbstractContextManager[None]:
    """Return the context in which a GPU multiplies fp32 as asked: exactly, or in tf32.

    It holds for backward passes too, and for the whole process: keep it short.
    """
    if device == "cpu":
        return nullcontext()
    is_tf32 = precision.dtype is PrecisionDtype.TF32 and not precision.emulated
    return _float_products("tf32" if is_tf32 else "ieee")


@contextmanager
def _float_products(how: str) -> Iterator[None]:
    cudnn: Any = torch.backends.cudnn  # the module is replaced by an object with these switches
    switches: list[Any] = [torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn]
    before = [switch.fp32_precision for switch in switches]
    try:
        for switch in switches:
            switch.fp32_precision = how
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.fp32_precision = value
