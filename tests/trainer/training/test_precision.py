"""The type of computing follows the manifest and, for Auto, what the hardware multiplies in."""

from pathlib import Path

import pytest
import torch

from trimtab_api.v1alpha1.train import PrecisionDtype
from trimtab_trainer.training.precision import autocast, read_cpu_flags, resolve_dtype

NONE: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("dtype", "device", "flags", "expected"),
    [
        (PrecisionDtype.FP32, "cpu", frozenset({"avx512_bf16"}), torch.float32),
        (PrecisionDtype.BF16, "cpu", NONE, torch.bfloat16),
        (PrecisionDtype.AUTO, "cpu", NONE, torch.float32),
        (PrecisionDtype.AUTO, "cpu", frozenset({"avx2", "avx512f"}), torch.float32),
        (PrecisionDtype.AUTO, "cpu", frozenset({"avx512_bf16"}), torch.bfloat16),
        (PrecisionDtype.AUTO, "cpu", frozenset({"amx_bf16"}), torch.bfloat16),
        (PrecisionDtype.AUTO, "cuda", NONE, torch.bfloat16),
    ],
)
def test_the_type_is_resolved(
    dtype: PrecisionDtype, device: str, flags: frozenset[str], expected: torch.dtype
) -> None:
    assert resolve_dtype(dtype, device, flags) == expected


@pytest.mark.parametrize("key", ["flags\t\t", "Features\t"])
def test_flags_are_read_from_the_first_processor(tmp_path: Path, key: str) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\n{key}: fpu bf16\n\nprocessor\t: 1\n{key}: fpu other\n")
    assert read_cpu_flags(path) == {"fpu", "bf16"}


def test_a_machine_without_the_list_has_no_flags(tmp_path: Path) -> None:
    assert read_cpu_flags(tmp_path / "none") == NONE


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_are_computed_in_the_type(dtype: torch.dtype) -> None:
    with autocast(dtype, "cpu"):
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == dtype
