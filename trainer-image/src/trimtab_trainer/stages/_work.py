"""Work that runs in a slot of the executor: inspect, export, evaluate, measure, compare.

Each function takes the slot's bench first, yields progress and returns plain values; the stages
submit them and decide what follows. Paths are absolute: slots share the file system.
"""

from collections.abc import Generator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trimtab_api.v1alpha1.benchmark import Benchmark
from trimtab_api.v1alpha1.goals import Target
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.train import Precision as PrecisionSettings
from trimtab_trainer.benchmarking.latency import measure
from trimtab_trainer.benchmarking.runners import OnnxRunner
from trimtab_trainer.exporting.onnx_graph import export_onnx
from trimtab_trainer.exporting.parity import compare_outputs
from trimtab_trainer.models.globs import match_layers
from trimtab_trainer.models.preflight import check_model
from trimtab_trainer.models.profile import count_flops, count_parameters
from trimtab_trainer.stages._bench import Bench, make_example
from trimtab_trainer.storage.patience import StorageTrouble, patiently
from trimtab_trainer.training.loop import evaluate
from trimtab_trainer.training.precision import Precision, read_hardware, resolve_precision

__all__ = [
    "check_parity",
    "evaluate_file",
    "export_checkpoint",
    "inspect_job",
    "measure_files",
]

SilentWork = Generator[StorageTrouble | None, None, dict[str, Any]]

_PARITY_SAMPLES = 64
# Float kernels of two runtimes sum in different orders; a wrong graph is off by far more.
_PARITY_TOLERANCE = 1e-3


def inspect_job(bench: Bench, *, spec: Spec, threads: int) -> SilentWork:
    """Load the data, build the network, run two samples through everything; return the facts.

    Raises:
        TrainerError: Something of it cannot work; no trial has been paid for.
    """
    torch.set_num_threads(threads)
    device = bench.device(spec)
    data = bench.data(spec)
    model = bench.fresh_model(spec).cpu()
    yield None
    check_model(model, data=data, task=bench.task(spec), code_dir=bench.code_dir)
    precision = _resolve_precision(spec, model, device)
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    return {
        "samples": {name: len(split) for name, split in splits.items() if split is not None},
        "digest": data.digest,
        "num_classes": data.num_classes,
        "params": count_parameters(model),
        "flops": count_flops(model, make_example(data)),
        "dtype": str(precision.dtype),
        "emulated": precision.emulated,
        "device": device,
        "skipped": data.skipped,
        "data_warnings": data.warnings,
    }


def _resolve_precision(spec: Spec, model: nn.Module, device: str) -> Precision:
    settings = spec.stages.train.precision if spec.stages.train else PrecisionSettings()
    match_layers(model, settings.keep_float, field="train.precision.keepFloat")
    return resolve_precision(settings.dtype, read_hardware(device))


def export_checkpoint(
    bench: Bench, *, spec: Spec, checkpoint: Path | None, path: Path, threads: int
) -> SilentWork:
    """Write the model of a checkpoint as ONNX; return the file's and the network's figures.

    Raises:
        ExportFailedError: It cannot be exported.
    """
    torch.set_num_threads(threads)
    model = bench.stored_model(spec, checkpoint).cpu()
    example = make_example(bench.data(spec))
    yield None
    file = yield from patiently(
        lambda: export_onnx(model, example=example, path=path, opset=spec.stages.export.opset)
    )
    static = {"params": count_parameters(model), "flops": count_flops(model, example)}
    return {"file": file, "static": static}


def evaluate_file(bench: Bench, *, spec: Spec, path: Path, threads: int) -> SilentWork:
    """Return the metrics of an exported file over the validation and the test split.

    Raises:
        ExportFailedError: The runtime refuses the file.
    """
    torch.set_num_threads(threads)
    data, task = bench.data(spec), bench.task(spec)
    runner = OnnxRunner(path, threads)
    validation = evaluate(runner, data.validation, task)
    yield None
    test = evaluate(runner, data.test, task) if data.test is not None else {}
    return {"validation": validation, "test": test}


def measure_files(
    bench: Bench,
    *,
    files: Mapping[str, Path],
    target: Target,
    settings: Benchmark,
    threads: int,
) -> SilentWork:
    """Time files side by side as a target says; return figures by name of the file."""
    del bench, threads  # the measuring process has the target's own number of threads
    yield None
    measured = measure(
        files,
        threads=target.threads or 1,
        batch_size=target.batch_size or 1,
        warmup=settings.warmup,
        repeats=settings.repeats,
        timeout_seconds=settings.timeout_seconds,
    )
    return {name: asdict(measurement) for name, measurement in measured.items()}


def check_parity(
    bench: Bench, *, spec: Spec, checkpoint: Path | None, path: Path, threads: int
) -> SilentWork:
    """Compare an exported float file with the torch model it was made of, on validation samples.

    Raises:
        ExportFailedError: They differ past rounding.
    """
    torch.set_num_threads(threads)
    model = bench.stored_model(spec, checkpoint).cpu().eval()
    split = bench.data(spec).validation
    inputs, _ = split.batch(torch.arange(min(_PARITY_SAMPLES, len(split))))
    yield None
    parity = compare_outputs(
        model, OnnxRunner(path, threads), [inputs], tolerance=_PARITY_TOLERANCE
    )
    return asdict(parity)
