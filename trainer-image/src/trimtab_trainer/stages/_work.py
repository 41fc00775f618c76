"""Work that runs in a slot of the executor: inspect a job, time its files.

Each function takes the slot's bench first, yields progress and returns plain values; the stages
submit them and decide what follows. Work on single files is `_file_work`'s.
"""

from collections.abc import Generator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trimtab_api.v1alpha1.benchmark import Benchmark
from trimtab_api.v1alpha1.goals import Target, TargetDevice
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.train import Precision as PrecisionSettings
from trimtab_trainer.benchmarking.latency import measure
from trimtab_trainer.environment import describe_environment
from trimtab_trainer.models.globs import match_layers
from trimtab_trainer.models.preflight import check_model
from trimtab_trainer.models.profile import count_flops, count_parameters
from trimtab_trainer.stages._bench import Bench, make_example
from trimtab_trainer.storage.patience import StorageTrouble
from trimtab_trainer.training.precision import Precision, read_hardware, resolve_precision

__all__ = ["inspect_job", "inspect_machine", "measure_files"]

SilentWork = Generator[StorageTrouble | None, None, dict[str, Any]]


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


def inspect_machine(bench: Bench, *, threads: int) -> SilentWork:
    """Return what the work of a run runs on; a driver in a cluster is elsewhere."""
    del bench
    yield None
    return describe_environment(threads)


def _resolve_precision(spec: Spec, model: nn.Module, device: str) -> Precision:
    settings = spec.stages.train.precision if spec.stages.train else PrecisionSettings()
    match_layers(model, settings.keep_float, field="train.precision.keepFloat")
    return resolve_precision(settings.dtype, read_hardware(device))


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
        device=target.device or TargetDevice.CPU,
        warmup=settings.warmup,
        repeats=settings.repeats,
        timeout_seconds=settings.timeout_seconds,
    )
    devices = {measurement.device for measurement in measured.values()}
    figures = {name: asdict(measurement) for name, measurement in measured.items()}
    for own in figures.values():
        del own["device"]
    return {"figures": figures, "device": devices.pop()}
