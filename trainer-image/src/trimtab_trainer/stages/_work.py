"""Work that runs in a slot of the executor: inspect, train, export, evaluate, measure, compare.

Each function takes the slot's bench first, yields progress and returns plain values; the stages
submit them and decide what follows. Paths are absolute: slots share the file system.
"""

from collections.abc import Generator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from trimtab_api.reports import EpochReport
from trimtab_api.v1alpha1.benchmark import Benchmark
from trimtab_api.v1alpha1.goals import Target
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.train import PrecisionDtype, Train
from trimtab_trainer.benchmarking.latency import measure
from trimtab_trainer.benchmarking.runners import OnnxRunner
from trimtab_trainer.exporting.onnx_graph import export_onnx
from trimtab_trainer.exporting.parity import compare_outputs
from trimtab_trainer.models.preflight import check_model
from trimtab_trainer.models.profile import count_flops, count_parameters
from trimtab_trainer.stages._bench import Bench, make_example
from trimtab_trainer.training.checkpoint import save_checkpoint
from trimtab_trainer.training.loop import EpochResult, evaluate, train
from trimtab_trainer.training.precision import read_cpu_flags, resolve_dtype
from trimtab_trainer.training.recipe import Recipe

__all__ = [
    "check_parity",
    "evaluate_file",
    "export_checkpoint",
    "fit",
    "inspect_job",
    "make_recipe",
    "measure_files",
    "report_epoch",
]

SilentWork = Generator[None, None, dict[str, Any]]

_PARITY_SAMPLES = 64
# Float kernels of two runtimes sum in different orders; a wrong graph is off by far more.
_PARITY_TOLERANCE = 1e-3


def make_recipe(settings: Train) -> Recipe:
    """Return the recipe that an expanded stages.train describes."""
    return Recipe(
        epochs=settings.epochs,
        steps=settings.steps,
        batch_size=settings.batch_size,
        optimizer=settings.optimizer,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        momentum=settings.momentum,
        schedule=settings.learning_rate_schedule,
        dtype=settings.precision.dtype,
    )


def report_epoch(result: EpochResult) -> EpochReport:
    """Return an epoch's result as reports hold it."""
    return EpochReport(epoch=result.epoch, metrics=dict(result.metrics), seconds=result.seconds)


def inspect_job(bench: Bench, *, spec: Spec, threads: int) -> SilentWork:
    """Load the data, build the network, run two samples through everything; return the facts.

    Raises:
        TrainerError: Something of it cannot work; no trial has been paid for.
    """
    torch.set_num_threads(threads)
    data = bench.data(spec)
    model = bench.fresh_model(spec)
    yield None
    check_model(model, data=data, task=bench.task(spec), code_dir=bench.code_dir)
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    return {
        "samples": {name: len(split) for name, split in splits.items() if split is not None},
        "digest": data.digest,
        "num_classes": data.num_classes,
        "params": count_parameters(model),
        "flops": count_flops(model, make_example(data)),
        "dtype": _name_dtype(spec),
    }


def _name_dtype(spec: Spec) -> str:
    wanted = spec.stages.train.precision.dtype if spec.stages.train else PrecisionDtype.FP32
    dtype = resolve_dtype(wanted, "cpu", read_cpu_flags())
    return "bf16" if dtype is torch.bfloat16 else "fp32"


def fit(
    bench: Bench, *, spec: Spec, folder: Path, threads: int
) -> Generator[EpochResult, None, dict[str, float]]:
    """Train a network from its initial weights and save a checkpoint; return its metrics.

    Args:
        bench: The slot's.
        spec: Expanded, with a trial's parameters in place.
        folder: Where the checkpoint goes.
        threads: Threads to compute with.

    Raises:
        ValueError: The spec has no stages.train.
        TrainerError: The training diverged or cannot work.
    """
    torch.set_num_threads(threads)
    if spec.stages.train is None:
        raise ValueError("only a spec with stages.train can be trained")
    model = bench.fresh_model(spec)
    metrics: Mapping[str, float] = {}
    recipe = make_recipe(spec.stages.train)
    epochs = train(
        model, data=bench.data(spec), task=bench.task(spec), recipe=recipe, seed=spec.seed
    )
    for result in epochs:
        metrics = result.metrics
        yield result
    save_checkpoint(folder, model, metadata={})
    return dict(metrics)


def export_checkpoint(
    bench: Bench, *, spec: Spec, checkpoint: Path | None, path: Path, threads: int
) -> SilentWork:
    """Write the model of a checkpoint as ONNX; return the file's and the network's figures.

    Raises:
        ExportFailedError: It cannot be exported.
    """
    torch.set_num_threads(threads)
    model = bench.stored_model(spec, checkpoint)
    example = make_example(bench.data(spec))
    yield None
    file = export_onnx(model, example=example, path=path, opset=spec.stages.export.opset)
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
    model = bench.stored_model(spec, checkpoint).eval()
    split = bench.data(spec).validation
    inputs, _ = split.batch(torch.arange(min(_PARITY_SAMPLES, len(split))))
    yield None
    parity = compare_outputs(
        model, OnnxRunner(path, threads), [inputs], tolerance=_PARITY_TOLERANCE
    )
    return asdict(parity)
