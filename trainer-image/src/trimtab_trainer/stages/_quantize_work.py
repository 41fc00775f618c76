"""Work of stage quantize: one ONNX file in fewer bits, with as many float layers as limits ask for.

Runs in a slot beside the loaded data. The ranges of activations are taken once; where a limit on
a validation metric is missed in a format that a target takes, layers are ranked once by what their
quantization does, and the fewest that it takes stay float.
"""

import tempfile
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

import torch

from trimtab_api.metrics import KNOWN_METRICS, MetricScope
from trimtab_api.selection import find_margins
from trimtab_api.techniques import Technique, plan_target_formats
from trimtab_api.v1alpha1.export import ExportFormat
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.quantize import ActivationDtype, OnMiss, Quantize, QuantizeMethod
from trimtab_trainer.benchmarking.runners import open_runner
from trimtab_trainer.data.subset import choose_subset
from trimtab_trainer.errors import ExportFailedError
from trimtab_trainer.exporting.artifact import describe_file
from trimtab_trainer.exporting.openvino_ir import IrWeights, convert_openvino
from trimtab_trainer.ledger import Ledger
from trimtab_trainer.models.globs import WRAPPER_PREFIX, match_layers
from trimtab_trainer.openvino_library import InferencePrecision
from trimtab_trainer.quantization.dynamic import quantize_dynamic
from trimtab_trainer.quantization.fallback import find_kept_layers, rank_layers
from trimtab_trainer.quantization.inspection import QuantizedFile
from trimtab_trainer.quantization.layer_errors import measure_layers
from trimtab_trainer.quantization.layers import list_layers
from trimtab_trainer.quantization.static import StaticCalibration, calibrate, write_static
from trimtab_trainer.quantization.weight_only import cast_weights, quantize_weights
from trimtab_trainer.stages._bench import Bench
from trimtab_trainer.storage.patience import StorageTrouble, patiently
from trimtab_trainer.training.evaluation import evaluate

__all__ = ["Limits", "quantize_file"]

_BATCH = 64

QuantizeWork = Generator[StorageTrouble | None, None, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a quantized model's validation metrics are held to."""

    spec: Spec
    """Expanded."""
    baseline: Mapping[str, float]
    ledger: Ledger

    def are_kept(self, metrics: Mapping[str, float]) -> bool:
        """Return whether these metrics keep the budget and every limit on such metrics."""
        # A static objective is not among them; quantization leaves it as it is.
        value = metrics.get(self.ledger.metric)
        if value is not None and not self.ledger.is_within(value, self.ledger.allowed):
            return False
        return all(
            margin.met
            for target in self.spec.targets
            for margin in find_margins(metrics, self.baseline, self.spec, target.name)
            if _is_validated(margin.constraint.metric)
        )


def _is_validated(metric: str) -> bool:
    known = KNOWN_METRICS.get(metric)
    return known is None or known.scope is MetricScope.VALIDATION


def quantize_file(
    bench: Bench,
    *,
    spec: Spec,
    checkpoint: Path | None,
    technique: Technique,
    source: Path,
    path: Path,
    limits: Limits,
    threads: int,
) -> QuantizeWork:
    """Write an exported ONNX file in fewer bits; return it, and what stayed float.

    Args:
        bench: The slot's.
        spec: Expanded, with stages.quantize.
        checkpoint: Weights of the network that the file holds, for the names of its layers.
        technique: With activations.
        source: The float file.
        path: Where the file goes.
        limits: What is tried to be kept where `onMiss` says so.
        threads: Threads to compute with.

    Raises:
        CalibrationInvalidError: The calibration samples give no usable ranges.
        OperatorUnsupportedError: No layer can be quantized.
    """
    torch.set_num_threads(threads)
    settings = spec.stages.quantize
    if settings is None:
        raise ValueError("only a spec with stages.quantize can be quantized")
    model = bench.stored_model(spec, checkpoint)
    wanted = match_layers(model, settings.keep_float, field="quantize.keepFloat")
    kept = [layer for layer in list_layers(source) if layer in wanted]
    yield None
    if technique.method is QuantizeMethod.STATIC:
        return (
            yield from _Static(bench, spec, settings, technique, source, path, threads).run(
                kept, limits
            )
        )
    write = _choose_writer(technique, settings, source, path)
    quantized = yield from patiently(lambda: write(kept))
    return {"file": describe_file(path), "details": _describe(technique, quantized)}


def _choose_writer(
    technique: Technique, settings: Quantize, source: Path, path: Path
) -> Callable[[Collection[str]], QuantizedFile]:
    per_channel = settings.per_channel
    match technique.method:
        case QuantizeMethod.DYNAMIC:
            return lambda kept: quantize_dynamic(
                source, path, per_channel=per_channel, keep_float=kept
            )
        case QuantizeMethod.WEIGHT_ONLY:
            return lambda kept: quantize_weights(
                source, path, per_channel=per_channel, keep_float=kept
            )
        case QuantizeMethod.CAST:
            return lambda kept: cast_weights(source, path, dtype=technique.weights, keep_float=kept)
        case QuantizeMethod.STATIC | QuantizeMethod.AUTO:
            raise ValueError(f"{technique.method} is not written from a file alone")
        case _:
            assert_never(technique.method)


@dataclass(frozen=True, slots=True)
class _Static:
    """Static quantization of one file."""

    bench: Bench
    spec: Spec
    settings: Quantize
    technique: Technique
    source: Path
    path: Path
    threads: int

    def run(self, kept: Sequence[str], limits: Limits) -> QuantizeWork:
        """Write the file; where it misses limits, again with the fewest float layers that help."""
        split = self.bench.data(self.spec).train
        wanted = self.settings.calibration
        subset = choose_subset(len(split), wanted.samples, self.spec.seed)
        calibration = calibrate(
            self.source,
            (split.batch(part)[0].numpy() for part in torch.split(subset.indices, _BATCH)),
            method=wanted.method,
            percentile=wanted.percentile,
            threads=self.threads,
        )
        yield None
        quantized = yield from patiently(lambda: self._write(calibration, kept))
        tried: list[int] = []
        may_keep = OnMiss.KEEP_FLOAT in self.settings.on_miss
        if may_keep and not (yield from patiently(lambda: self._is_good(limits))):
            yield None
            errors = []
            for error in measure_layers(
                calibration, per_channel=self.settings.per_channel, threads=self.threads
            ):
                errors.append(error)
                yield None
            ranking = [layer for layer in rank_layers(errors) if layer not in kept]

            def is_good(added: Sequence[str]) -> bool:
                tried.append(len(added))
                self._write(calibration, (*kept, *added))
                return self._is_good(limits)

            added = (yield from patiently(lambda: find_kept_layers(ranking, is_good))) or ()
            quantized = yield from patiently(lambda: self._write(calibration, (*kept, *added)))
        details = _describe(self.technique, quantized) | {
            "calibrationSamples": len(subset.indices),
            "calibrationDigest": subset.digest,
            "filesTried": 1 + len(tried),
        }
        return {"file": describe_file(self.path), "details": details}

    def _write(self, calibration: StaticCalibration, kept: Collection[str]) -> QuantizedFile:
        return write_static(
            calibration,
            self.path,
            activations=self.technique.activations or ActivationDtype.UINT8,
            per_channel=self.settings.per_channel,
            keep_float=kept,
        )

    def _is_good(self, limits: Limits) -> bool:
        """Return whether limits are kept in every format that a target takes."""
        wanted = plan_target_formats(self.spec)
        if ExportFormat.ONNX in wanted and not limits.are_kept(self._evaluate(self.path)):
            return False
        return ExportFormat.OPENVINO not in wanted or self._is_good_converted(limits)

    def _is_good_converted(self, limits: Limits) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{self.path.stem}.xml"
            try:
                convert_openvino(
                    self.path, path, weights=IrWeights.FP32, precision=InferencePrecision.F32
                )
                metrics = self._evaluate(path)
            except ExportFailedError:
                return True  # there will be no such file, whatever stays float
            return limits.are_kept(metrics)

    def _evaluate(self, path: Path) -> dict[str, float]:
        runner = open_runner(path, threads=self.threads)
        data, task = self.bench.data(self.spec), self.bench.task(self.spec)
        return evaluate(runner, data.validation, task)


def _describe(technique: Technique, quantized: QuantizedFile) -> dict[str, Any]:
    return {
        "method": technique.method.value,
        "layersQuantized": [_shorten(name) for name in quantized.quantized_layers],
        "layersFloat": [_shorten(name) for name in quantized.float_layers],
    }


def _shorten(layer: str) -> str:
    return layer.removeprefix(WRAPPER_PREFIX)
