"""Builds candidates with the figures of a small network on digits, for tests of reports."""

import hashlib
from typing import Any

from trimtab_api.reports import CandidateReport, FileReport
from trimtab_api.stages import StageName, StageReason

__all__ = ["CANDIDATES", "TARGET", "digest_text", "make_candidate", "make_file"]

TARGET = "edge"
_FIGURES: dict[str, tuple[float, ...]] = {
    # accuracy, test, params, flops, MiB, MiB zstd, p50, p95, 1/s, memory
    "dense": (0.9778, 0.9704, 94_538, 9.64e6, 0.3652, 0.3388, 0.1410, 0.1523, 7010, 61.2),
    "pruned": (0.9741, 0.9667, 41_290, 4.71e6, 0.1622, 0.1504, 0.0893, 0.0961, 11100, 60.8),
    "dense-int8": (0.9778, 0.9704, 94_538, 9.64e6, 0.1049, 0.0871, 0.0902, 0.0988, 10950, 61.0),
    "pruned-int8": (0.9704, 0.9630, 41_290, 4.71e6, 0.0518, 0.0402, 0.0731, 0.0794, 13600, 60.5),
}
CANDIDATES = tuple(_FIGURES)
"""Their ids, the baseline first."""


def make_candidate(name: str, **changes: Any) -> CandidateReport:
    """Return a measured candidate; `dense-int8` gains nothing and is rejected."""
    accuracy, test, params, flops, size, packed, p50, p95, rate, memory = _FIGURES[name]
    stage = StageName.QUANTIZE if name.endswith("int8") else StageName.PRUNE
    rejected = "speedup@edge min 1.6 is missed: 1.563" if name == "dense-int8" else None
    on_target = {
        "size_mib": size,
        "size_compressed_mib": packed,
        "latency_p50_ms": p50,
        "latency_p95_ms": p95,
        "throughput_per_s": rate,
        "memory_mib": memory,
        "contention": 0.021,
        "speedup": _FIGURES["dense"][6] / p50,
    }
    fields: dict[str, Any] = {
        "id": name,
        "stage": StageName.TRAIN if name == "dense" else stage,
        "parent": None if name == "dense" else name.removesuffix("-int8"),
        "artifact": f"artifacts/{name}.onnx",
        "digest": digest_text(name),
        "format": "onnx",
        "files": (make_file(name, accuracy, size, packed),),
        "metrics": {
            "accuracy": accuracy,
            "loss": 0.11 - accuracy / 20,
            "params": params,
            "flops": flops,
            **{f"{metric}@{TARGET}": value for metric, value in on_target.items()},
        },
        "test_metrics": {"accuracy": test},
        "feasible": rejected is None and name != "dense",
        "rejected": rejected,
        "reason": StageReason.NO_GAIN if rejected else None,
    }
    if name == "pruned":
        fields["parent"] = "dense"
    return CandidateReport(**{**fields, **changes})


def make_file(name: str, accuracy: float, size: float, packed: float) -> FileReport:
    """Return a candidate's ONNX file; one whose name ends with int8 is quantized."""
    quantized = name.endswith("int8")
    return FileReport(
        format="onnx",
        artifact=f"artifacts/{name}.onnx",
        digest=digest_text(name),
        size_mib=size,
        size_compressed_mib=packed,
        metrics={"accuracy": accuracy},
        weight_dtypes=("int8",) if quantized else ("float32",),
        activation_dtypes=("uint8",) if quantized else ("float32",),
        max_abs_error=None if quantized else 2.4e-6,
    )


def digest_text(text: str) -> str:
    """Return the SHA-256 of a text, as stand-in for that of a file."""
    return hashlib.sha256(text.encode()).hexdigest()
