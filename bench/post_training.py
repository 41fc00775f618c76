"""Quantization of a network with real weights and without training, ours beside ONNX Runtime's.

Called by the benchmark of compression. What counts is how often a file names the same class as
the float network, on crops that nothing was calibrated on or decided by.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.contest import BY_HAND, DEFAULT, FP32, OURS, Entry, Stopwatch, measure_costs
from bench.photographs import cut_out, draw_crops, load_efficientnet
from bench.rival_compression import quantize_by_default, quantize_by_hand
from trimtab_api.v1alpha1.quantize import Quantize
from trimtab_trainer.benchmarking.runners import open_runner
from trimtab_trainer.exporting.onnx_graph import export_onnx
from trimtab_trainer.quantization.fallback import find_kept_layers, rank_layers
from trimtab_trainer.quantization.layer_errors import measure_layers
from trimtab_trainer.quantization.static import StaticCalibration, calibrate, write_static

__all__ = ["OURS_KEPT", "Settings", "quantize_pretrained"]

OURS_KEPT = "trimtab, sensitive layers in float"

_WAYS = (FP32, OURS, OURS_KEPT, DEFAULT, BY_HAND)
_SEED = 1
_OPSET = 18
_BATCH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How many crops there are of each kind, and what is asked of ours."""

    calibration: int
    validation: int
    """Which layers stay float is decided on them."""
    test: int
    least_agreement: float
    """On the validation crops: layers are kept in float until it is reached."""
    repeats: int
    """Timed runs of each file."""


@dataclass(frozen=True, slots=True)
class _Crops:
    calibration: torch.Tensor
    validation: torch.Tensor
    test: torch.Tensor


def _draw(settings: Settings) -> _Crops:
    counts = [settings.calibration, settings.validation, settings.test]
    images = cut_out(draw_crops(sum(counts), seed=_SEED))
    return _Crops(*torch.split(images, counts))


def quantize_pretrained(settings: Settings, folder: Path, watch: Stopwatch) -> list[Entry]:
    """Quantize EfficientNet-Lite0 in every way; return the files' figures, fp32 first.

    The score of a file is the share of the validation crops, or of the test crops, for which it
    names the same class as the float file.

    Args:
        settings: Numbers of crops and what ours must reach.
        folder: Where the files go.
        watch: Told where time goes.
    """
    crops = _draw(settings)
    files = {way: folder / f"{index}.onnx" for index, way in enumerate(_WAYS)}
    with watch.time("exporting"):
        export_onnx(load_efficientnet(), example=crops.test[:2], path=files[FP32], opset=_OPSET)
    batches = [part.numpy() for part in torch.split(crops.calibration, _BATCH)]
    with watch.time("quantizing by hand"):
        quantize_by_default(files[FP32], files[DEFAULT], batches)
        quantize_by_hand(files[FP32], files[BY_HAND], batches)
    with watch.time("quantizing by trimtab"):
        _quantize_ours(files, crops, settings)
    with watch.time("evaluating and timing all files"):
        return _evaluate(files, crops, settings)


def _quantize_ours(files: dict[str, Path], crops: _Crops, settings: Settings) -> None:
    """Quantize as stage quantize does by default; then again with the fewest layers in float."""
    defaults = Quantize().calibration
    calibration = calibrate(
        files[FP32],
        [crops.calibration.numpy()],
        method=defaults.method,
        percentile=defaults.percentile,
    )
    write_static(calibration, files[OURS])
    kept = _choose_kept(calibration, files, crops, settings)
    write_static(calibration, files[OURS_KEPT], keep_float=kept)


def _choose_kept(
    calibration: StaticCalibration, files: dict[str, Path], crops: _Crops, settings: Settings
) -> tuple[str, ...]:
    judge = _Judge(files[FP32], crops.validation)

    def is_good(kept: Sequence[str]) -> bool:
        write_static(calibration, files[OURS_KEPT], keep_float=kept)
        return judge.agree(files[OURS_KEPT]) >= settings.least_agreement

    if is_good(()):
        return ()
    ranking = rank_layers(measure_layers(calibration, per_channel=True))
    return find_kept_layers(ranking, is_good) or ()


def _evaluate(files: dict[str, Path], crops: _Crops, settings: Settings) -> list[Entry]:
    costs = measure_costs(files, repeats=settings.repeats)
    validation = _Judge(files[FP32], crops.validation)
    test = _Judge(files[FP32], crops.test)
    return [
        Entry(way, costs[way], score=validation.agree(path), test_score=test.agree(path))
        for way, path in files.items()
    ]


class _Judge:
    """Says how often a file names the class that the float file names."""

    def __init__(self, reference: Path, images: torch.Tensor) -> None:
        self._parts = torch.split(images, _BATCH)
        self._expected = self._classify(reference)

    def agree(self, path: Path) -> float:
        return float((self._classify(path) == self._expected).double().mean())

    def _classify(self, path: Path) -> torch.Tensor:
        runner = open_runner(path, threads=1)
        return torch.cat([runner(part).argmax(1) for part in self._parts])
