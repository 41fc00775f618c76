"""The measured error of a layer is what its quantization alone does to the output."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from small_exports import edit_tensor, make_images, read_tensor, run_file
from trimtab_api.v1alpha1.quantize import CalibrationMethod
from trimtab_trainer.quantization.fallback import rank_layers
from trimtab_trainer.quantization.layer_errors import measure_layers
from trimtab_trainer.quantization.narrow_weights import quantize_weight
from trimtab_trainer.quantization.static import StaticCalibration, calibrate, write_static


def look_at(source: Path) -> StaticCalibration:
    return calibrate(source, [make_images(24)], method=CalibrationMethod.MIN_MAX, percentile=100.0)


def test_error_of_weights_equals_that_of_a_file_with_rounded_weights(
    residual_file: Path, tmp_path: Path
) -> None:
    calibration = replace(look_at(residual_file), ranges={})  # so that activations stay float
    errors = {entry.layer: entry.error for entry in measure_layers(calibration, per_channel=True)}
    weights = read_tensor(residual_file, "block.0.weight").astype(np.float32)
    rounded = quantize_weight(weights, axis=0, per_channel=True)
    assert rounded is not None

    def put_rounded(values: NDArray[np.float32]) -> None:
        values[:] = rounded.widen()

    path = edit_tensor(residual_file, tmp_path / "rounded.onnx", "block.0.weight", put_rounded)
    expected = run_file(residual_file, make_images(24)[:16])
    actual = run_file(path, make_images(24)[:16])
    share = np.square(actual - expected).sum() / np.square(expected).sum()
    assert errors["block.0"] == pytest.approx(share, rel=0.01)
    assert list(errors) == ["stem.0", "block.0", "head"]


def test_the_layer_that_hurts_most_comes_first_and_pays_when_kept(
    residual_file: Path, tmp_path: Path
) -> None:
    def spoil(values: NDArray[np.float32]) -> None:
        # One large weight leaves few levels for the others of its channel.
        values[:, 0, 1, 1] = 20.0

    source = edit_tensor(residual_file, tmp_path / "model.onnx", "block.0.weight", spoil)
    calibration = look_at(source)
    ranking = rank_layers(measure_layers(calibration, per_channel=True))
    assert ranking[0] == "block.0"

    def measure(*kept: str) -> float:
        path = write_static(calibration, tmp_path / "int8.onnx", keep_float=kept).path
        error = run_file(path, make_images(24)) - run_file(source, make_images(24))
        return float(np.square(error).sum())

    assert measure("block.0") < 0.5 * measure()
    assert measure("head") > 0.5 * measure()


def test_layers_on_tokens_are_measured(token_file: Path) -> None:
    errors = list(measure_layers(look_at(token_file), per_channel=True, samples=4))
    assert len(errors) == 6
    assert all(0 < entry.error < 0.01 for entry in errors)


def test_linear_layers_at_the_input_and_at_the_output_are_measured(linear_file: Path) -> None:
    errors = list(measure_layers(look_at(linear_file), per_channel=False))
    assert [entry.layer for entry in errors] == ["1", "2"]
    assert all(0 < entry.error < 0.01 for entry in errors)
