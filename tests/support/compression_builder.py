"""Builds reports of runs that compress in the breadth of the manifest: many layers, formats, targets.

The figures are those of a larger network; what ships and why is decided as the trainer does it.
"""

import math
import random
from typing import Any

from candidate_builder import digest_text
from report_builder import ReportParts, make_manifest, make_parts
from trimtab_api.metrics import metric_key
from trimtab_api.reports import (
    CandidateReport,
    CurvePoint,
    FileReport,
    PrunedLayerReport,
    PruneStepReport,
)
from trimtab_api.stages import StageName
from trimtab_api.v1alpha1.goals import TargetDevice

__all__ = ["make_broad_parts", "make_layers", "make_weights_parts"]

_TARGETS: tuple[dict[str, Any], ...] = (
    {"name": "edge", "profile": "cpu-edge"},
    {"name": "laptop", "profile": "cpu-server", "runtime": "openvino"},
    {"name": "phone", "profile": "mobile"},
    {"name": "cloud", "profile": "gpu-server"},
)
_ACCURACIES = {
    "dense": 0.9312,
    "pruned": 0.9268,
    "pruned-int8": 0.9251,
    "pruned-fp16": 0.9268,
    "pruned-bf16": 0.9263,
    "dense-int8": 0.9147,
}
# Format → MiB per million parameters at fp32, and milliseconds per million MACs.
_SIZE = {"onnx": 3.82, "openvino": 3.83, "pt2": 3.9}
_PACE = {"edge": 0.0421, "laptop": 0.0103, "phone": 0.0433, "cloud": 0.0087}
_FORMATS = {"edge": "onnx", "laptop": "openvino", "phone": "onnx", "cloud": "pt2"}
_BUILT = {
    "dense": ("onnx", "openvino", "pt2"),
    "pruned": ("onnx", "openvino", "pt2"),
    "pruned-int8": ("onnx", "openvino"),
    "pruned-fp16": ("onnx", "openvino", "pt2"),
    "pruned-bf16": ("openvino", "pt2"),
    "dense-int8": ("onnx", "openvino"),
}
_NARROW = {
    "int8": ("int8", "uint8", 0.26, 0.52),
    "fp16": ("float16", "float32", 0.5, 1.02),
    "bf16": ("bfloat16", "bfloat16", 0.5, 0.93),
}


def make_broad_parts(*, layers: int = 60, measured: int = 3) -> ReportParts:
    """Return the parts of a run with four targets and three formats, allocated by sensitivity.

    Args:
        layers: How many layers were measured alone.
        measured: How many of the targets could be measured.
    """
    parts = make_parts()
    spec = make_manifest(
        constraints=[
            {"metric": "accuracy", "maxDrop": 0.01},
            {"metric": "size_mib", "target": "phone", "max": 4.2},
        ],
        targets=list(_TARGETS),
    )
    spec["spec"]["stages"] |= {
        "prune": {
            "importance": "Taylor",
            "allocation": "Sensitivity",
            "schedule": {"steps": 3},
            "finetune": {"epochs": 4},
        },
        "quantize": {},
        "export": {"formats": ["onnx", "openvino", "pt2"]},
    }
    parts.manifest = spec
    names = [target["name"] for target in _TARGETS[:measured]]
    parts.candidates = [_make_candidate(name, names) for name in _ACCURACIES]
    parts.devices = dict.fromkeys(names, TargetDevice.CPU)
    parts.prune_steps = [
        _make_step(1, 0.18, 0.9287, kept=True),
        _make_step(2, 0.31, 0.9268, kept=True),
        _make_step(3, 0.41, 0.9190, kept=False),
    ]
    parts.pruned_layers = make_layers(layers)
    parts.budget_spent = {"prune": 0.0044, "quantize": 0.0017}
    if measured < len(_TARGETS):
        parts.warnings = (
            "TargetUnmeasured: cloud: the device must be cuda or have a stand-in but has none",
        )
    return parts


def make_weights_parts() -> ReportParts:
    """Return the parts of a run that sets single weights to zero."""
    parts = make_parts()
    parts.manifest = make_manifest(constraints=[])
    parts.has_budget = False
    parts.manifest["spec"]["stages"]["prune"] = {"granularity": "Weights", "importance": "L1"}
    parts.prune_steps = [
        step.model_copy(update={"params": 94_538, "flops": 9_640_000, "sparsity": share})
        for step, share in zip(parts.prune_steps, (0.25, 0.41, 0.5), strict=True)
    ]
    parts.pruned_layers = [
        PrunedLayerReport(layer=layer, kind="Weights", before=before, after=before // 2)
        for layer, before in (("conv1", 288), ("conv2", 18_432), ("conv3", 36_864))
    ]
    return parts


def make_layers(count: int) -> list[PrunedLayerReport]:
    """Return layers of a residual network with their curves, the first ones most sensitive."""
    generator = random.Random(5)
    layers = []
    for index in range(count):
        stage = 4 * index // count
        width = 64 << stage
        pain = 0.25 * math.exp(-7 * index / count) * generator.uniform(0.4, 1.6)
        cut = min(0.8, 0.05 + 0.7 * index / count * generator.uniform(0.7, 1.2))
        layers.append(
            PrunedLayerReport(
                layer=f"features.layer{stage + 1}.block{index % (count // 4 + 1)}.conv1",
                kind="Filters",
                before=width,
                after=width - 8 * round(width * cut / 8),
                curve=tuple(
                    CurvePoint(
                        ratio=ratio,
                        drop=pain * ratio**2 / 0.5 + generator.uniform(-1e-3, 1e-3),
                        loss_increase=3 * pain * ratio,
                    )
                    for ratio in (0.25, 0.5, 0.75)
                ),
            )
        )
    return layers


def _make_candidate(name: str, targets: list[str]) -> CandidateReport:
    accuracy, (parent, _, suffix) = _ACCURACIES[name], name.partition("-")
    params, flops = (11.2e6, 1.12e9) if parent == "dense" else (4.1e6, 0.58e9)
    weights, activations, shrink, pace = _NARROW.get(suffix, ("float32", "float32", 1.0, 1.0))
    files = tuple(
        FileReport(
            format=kind,
            artifact=f"artifacts/{name}.{'xml' if kind == 'openvino' else kind}",
            digest=digest_text(name + kind),
            size_mib=_SIZE[kind] * params / 1e6 * shrink,
            size_compressed_mib=0.9 * _SIZE[kind] * params / 1e6 * shrink,
            metrics={"accuracy": accuracy, "latency_p50_ms": 0.0103 * flops / 2e6 * pace},
            weight_dtypes=(weights, "float32") if suffix else (weights,),
            activation_dtypes=(activations,),
            max_abs_error=None if suffix else 3.1e-6,
        )
        for kind in _BUILT[name]
    )
    on_targets = {
        metric_key(metric, target): value
        for target, kind in _FORMATS.items()
        if kind in _BUILT[name]
        for metric, value in _measure(target, params * shrink, flops * pace).items()
        if target in targets or metric.startswith("size")
    }
    kept = {"keptFloat": ["features.conv0", "fc"]} if name == "pruned-int8" else {}
    stage = StageName.QUANTIZE if suffix else StageName.PRUNE
    over = accuracy < 0.9212
    return CandidateReport(
        id=name,
        stage=StageName.TRAIN if name == "dense" else stage,
        parent=None if name == "dense" else (parent if suffix else "dense"),
        artifact=files[0].artifact,
        digest=files[0].digest,
        format=files[0].format,
        files=files,
        metrics={"accuracy": accuracy, "loss": 0.2, "params": params, "flops": flops, **on_targets},
        test_metrics={"accuracy": accuracy - 0.004},
        feasible=not over,
        rejected="accuracy is 1.65 points worse, the budget is 1.00 points" if over else None,
        details={"layersFloat": ["features.conv0", "features.gate", "fc"], **kept}
        if suffix == "int8"
        else {},
    )


def _measure(target: str, weight: float, work: float) -> dict[str, float]:
    p50 = _PACE[target] * work / 2e6
    return {
        "size_mib": _SIZE[_FORMATS[target]] * weight / 1e6,
        "size_compressed_mib": 0.9 * _SIZE[_FORMATS[target]] * weight / 1e6,
        "latency_p50_ms": p50,
        "latency_p95_ms": 1.08 * p50,
        "throughput_per_s": 1000 / p50,
        "memory_mib": 90 + weight / 1e5,
        "contention": 0.012,
        "speedup": _PACE[target] * 560 / p50,
    }


def _make_step(step: int, ratio: float, accuracy: float, *, kept: bool) -> PruneStepReport:
    return PruneStepReport(
        step=step,
        ratio=ratio,
        params=int(11.2e6 * (1 - 1.5 * ratio)),
        flops=int(1.12e9 * (1 - 1.4 * ratio)),
        metrics={"accuracy": accuracy},
        kept=kept,
    )
