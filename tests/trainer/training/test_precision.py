"""The type of computing follows the manifest and what the hardware multiplies in."""

from pathlib import Path

import pytest
import torch

from trimtab_api.v1alpha1.train import FloatDtype, PrecisionDtype
from trimtab_trainer.training.precision import (
    Hardware,
    Precision,
    autocast,
    float_products,
    next_wider,
    read_cpu_flags,
    read_hardware,
    resolve_precision,
)

PLAIN = Hardware("cpu", frozenset({"avx2", "avx512f"}))
BF16_CPU = Hardware("cpu", frozenset({"avx512_bf16"}))
FP16_CPU = Hardware("cpu", frozenset({"avx512_fp16"}))
TURING, AMPERE, ADA = (Hardware("cuda", capability=c) for c in [(7, 5), (8, 0), (8, 9)])
FP8, FP16, BF16, TF32, FP32, AUTO = (
    PrecisionDtype(name) for name in ("fp8", "fp16", "bf16", "tf32", "fp32", "Auto")
)


@pytest.mark.parametrize(
    ("dtype", "hardware", "expected", "emulated"),
    [
        (FP32, BF16_CPU, FP32, False),
        (FP32, TURING, FP32, False),
        (TF32, BF16_CPU, TF32, True),
        (TF32, TURING, TF32, True),
        (TF32, AMPERE, TF32, False),
        (BF16, PLAIN, BF16, True),
        (BF16, BF16_CPU, BF16, False),
        (BF16, Hardware("cpu", frozenset({"amx_bf16"})), BF16, False),
        (BF16, TURING, BF16, True),
        (BF16, AMPERE, BF16, False),
        (FP16, BF16_CPU, FP16, True),
        (FP16, FP16_CPU, FP16, False),
        (FP16, TURING, FP16, False),
        (FP8, BF16_CPU, FP8, True),
        (FP8, AMPERE, FP8, True),
        (FP8, ADA, FP8, False),
        (AUTO, PLAIN, FP32, False),
        (AUTO, FP16_CPU, FP32, False),
        (AUTO, BF16_CPU, BF16, False),
        (AUTO, Hardware("cpu", frozenset({"avx512_bf16", "amx_bf16"})), FP32, False),
        (AUTO, TURING, FP16, False),
        (AUTO, AMPERE, BF16, False),
    ],
)
def test_the_type_is_resolved(
    dtype: PrecisionDtype, hardware: Hardware, expected: PrecisionDtype, emulated: bool
) -> None:
    assert resolve_precision(dtype, hardware) == Precision(expected, emulated)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (FP8, torch.bfloat16),
        (FP16, torch.float16),
        (BF16, torch.bfloat16),
        (TF32, torch.float32),
        (FP32, torch.float32),
    ],
)
def test_products_are_computed_in_the_type(dtype: PrecisionDtype, expected: torch.dtype) -> None:
    precision = resolve_precision(dtype, PLAIN)
    assert precision.cast == expected
    with autocast(precision, "cpu"):
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == expected


@pytest.mark.parametrize(
    ("current", "ladder", "hardware", "expected"),
    [
        (FP16, "bf16 fp32", PLAIN, BF16),
        (FP16, "fp32 bf16", PLAIN, FP32),
        (BF16, "bf16 fp32", PLAIN, FP32),
        (BF16, "fp16 bf16", PLAIN, None),
        (FP8, "fp16 bf16 fp32", PLAIN, FP16),
        (BF16, "tf32 fp32", AMPERE, TF32),
        (TF32, "bf16 fp32", AMPERE, FP32),
        (TF32, "bf16 fp32", PLAIN, None),
        (FP32, "bf16 tf32", AMPERE, None),
        (FP16, "", PLAIN, None),
    ],
)
def test_the_ladder_only_goes_to_wider_types(
    current: PrecisionDtype, ladder: str, hardware: Hardware, expected: PrecisionDtype | None
) -> None:
    steps = [FloatDtype(name) for name in ladder.split()]
    found = next_wider(resolve_precision(current, hardware), steps, hardware)
    assert (found and found.dtype) == expected


@pytest.mark.parametrize(
    ("dtype", "hardware", "expected"),
    [(TF32, AMPERE, "tf32"), (TF32, TURING, "ieee"), (FP32, AMPERE, "ieee")],
)
def test_a_gpu_multiplies_fp32_as_asked_for_the_length_of_a_block(
    dtype: PrecisionDtype, hardware: Hardware, expected: str
) -> None:
    def read() -> tuple[str, str]:
        convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]  # made at run time
        return torch.backends.cuda.matmul.fp32_precision, convolutions.fp32_precision

    before = read()
    with float_products(resolve_precision(dtype, hardware), "cuda"):
        assert read() == (expected, expected)
    assert read() == before
    with float_products(resolve_precision(dtype, hardware), "cpu"):
        assert read() == before


@pytest.mark.parametrize("key", ["flags\t\t", "Features\t"])
def test_flags_are_read_from_the_first_processor(tmp_path: Path, key: str) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\n{key}: fpu bf16\n\nprocessor\t: 1\n{key}: fpu other\n")
    assert read_cpu_flags(path) == {"fpu", "bf16"}


def test_a_machine_without_the_list_has_no_flags(tmp_path: Path) -> None:
    assert read_cpu_flags(tmp_path / "none") == frozenset()


def test_this_processor_is_read() -> None:
    assert read_hardware("cpu") == Hardware("cpu", cpu_flags=read_cpu_flags())
