"""Work on exported files: write them, run them over the data, look into them, compare them.

Each function takes the slot's bench first and runs in a slot of the executor; `_files` and the
stages submit them and decide what follows. Paths are absolute: slots share the file system.
"""

import math
from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trimtab_api.techniques import Technique
from trimtab_api.v1alpha1.export import ExportFormat
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.quantize import ActivationDtype, QuantizeMethod
from trimtab_trainer.benchmarking.runners import open_runner
from trimtab_trainer.errors import ExportFailedError
from trimtab_trainer.exporting.artifact import ExportedFile
from trimtab_trainer.exporting.dtypes import inspect_dtypes
from trimtab_trainer.exporting.onnx_graph import export_onnx
from trimtab_trainer.exporting.openvino_ir import IrWeights, convert_openvino
from trimtab_trainer.exporting.parity import compare_outputs
from trimtab_trainer.exporting.torch_program import export_pt2
from trimtab_trainer.models.globs import match_layers
from trimtab_trainer.models.profile import (
    count_flops,
    count_linear_share,
    count_parameters,
    measure_sparsity,
)
from trimtab_trainer.openvino_library import InferencePrecision
from trimtab_trainer.quantization.half import HalfModel
from trimtab_trainer.quantization.inspection import inspect_quantized
from trimtab_trainer.stages._bench import Bench, make_example
from trimtab_trainer.storage.patience import StorageTrouble, patiently
from trimtab_trainer.training.evaluation import evaluate

__all__ = [
    "check_parity",
    "convert_file",
    "count_network",
    "evaluate_file",
    "export_network",
]

FileWork = Generator[StorageTrouble | None, None, ExportedFile]

_PARITY_SAMPLES = 64
# Float kernels of two runtimes sum in different orders; a wrong graph is off by far more.
_PARITY_TOLERANCE = 1e-3


def count_network(
    bench: Bench, *, spec: Spec, checkpoint: Path | None, threads: int
) -> Generator[None, None, dict[str, float]]:
    """Return the static metrics of a network, and `linear_share` of its FLOPs."""
    torch.set_num_threads(threads)
    model = bench.stored_model(spec, checkpoint).cpu()
    example = make_example(bench.data(spec))
    yield None
    return {
        "params": float(count_parameters(model)),
        "flops": float(count_flops(model, example)),
        "sparsity": measure_sparsity(model),
        "linear_share": count_linear_share(model, example),
    }


def export_network(
    bench: Bench,
    *,
    spec: Spec,
    checkpoint: Path | None,
    technique: Technique | None,
    form: ExportFormat,
    path: Path,
    threads: int,
) -> FileWork:
    """Write the network of a checkpoint as onnx or pt2, in 16 bits where a technique says so.

    Raises:
        ExportFailedError: It cannot be exported.
    """
    torch.set_num_threads(threads)
    model: nn.Module = bench.stored_model(spec, checkpoint).cpu()
    example = make_example(bench.data(spec))
    if technique is not None:
        keep = spec.stages.quantize.keep_float if spec.stages.quantize else ()
        kept = match_layers(model, keep, field="quantize.keepFloat")
        model = HalfModel(model, dtype=technique.weights, keep_float=kept)
    yield None
    settings = spec.stages.export
    batch = None if settings.dynamic_batch else spec.targets[0].batch_size
    if form is ExportFormat.PT2:
        return (
            yield from patiently(lambda: export_pt2(model, example=example, path=path, batch=batch))
        )
    return (
        yield from patiently(
            lambda: export_onnx(
                model, example=example, path=path, opset=settings.opset, batch=batch
            )
        )
    )


def convert_file(
    bench: Bench,
    *,
    source: Path,
    technique: Technique | None,
    path: Path,
    threads: int,
) -> FileWork:
    """Write an ONNX file as OpenVINO IR, in 16 bits where a technique says so.

    Raises:
        ExportFailedError: OpenVINO refuses the file.
    """
    del bench, threads
    yield None
    weights, precision = _store_as(technique)
    return (
        yield from patiently(
            lambda: convert_openvino(source, path, weights=weights, precision=precision)
        )
    )


def _store_as(technique: Technique | None) -> tuple[IrWeights, InferencePrecision]:
    if technique is None or technique.method is not QuantizeMethod.CAST:
        return IrWeights.FP32, InferencePrecision.F32
    if technique.activations is ActivationDtype.BF16:
        return IrWeights.FP16, InferencePrecision.BF16
    return IrWeights.FP16, InferencePrecision.F32


def evaluate_file(
    bench: Bench, *, spec: Spec, path: Path, threads: int
) -> Generator[None, None, dict[str, Any]]:
    """Return the metrics of an exported file over validation and test split, and its types.

    Raises:
        ExportFailedError: The runtime refuses the file, or a metric is not finite.
    """
    torch.set_num_threads(threads)
    data, task = bench.data(spec), bench.task(spec)
    runner = open_runner(path, threads=threads)
    validation = evaluate(runner, data.validation, task)
    yield None
    test = evaluate(runner, data.test, task) if data.test is not None else {}
    for name, value in {**validation, **test}.items():
        if not math.isfinite(value):
            raise ExportFailedError(f"{name} of {path.name} must be a finite number but is {value}")
    return {"validation": validation, "test": test, **_read_dtypes(path)}


def check_parity(
    bench: Bench, *, spec: Spec, checkpoint: Path | None, path: Path, threads: int
) -> Generator[None, None, float]:
    """Return the largest difference between an exported float file and its torch model.

    Raises:
        ExportFailedError: They differ past rounding.
    """
    torch.set_num_threads(threads)
    model = bench.stored_model(spec, checkpoint).cpu().eval()
    split = bench.data(spec).validation
    inputs, _ = split.batch(torch.arange(min(_PARITY_SAMPLES, len(split))))
    yield None
    runner = open_runner(path, threads=threads)
    return compare_outputs(model, runner, [inputs], tolerance=_PARITY_TOLERANCE).max_abs_error


def _read_dtypes(path: Path) -> dict[str, tuple[str, ...]]:
    found = inspect_quantized(path) if path.suffix == ".onnx" else inspect_dtypes(path)
    return {"weights": found.weight_dtypes, "activations": found.activation_dtypes}
