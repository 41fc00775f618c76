"""An OpenVINO IR computes what its ONNX file computes, in the types it was asked for, whole or not at all."""

from pathlib import Path

import pytest
import torch

from export_models import make_net
from onnx_builder import make_linear, make_operator
from trimtab_trainer.benchmarking.runners import open_runner
from trimtab_trainer.errors import ExportFailedError
from trimtab_trainer.exporting.artifact import ExportedFile, FileDtypes, artifact_files
from trimtab_trainer.exporting.dtypes import inspect_dtypes
from trimtab_trainer.exporting.onnx_graph import export_onnx
from trimtab_trainer.exporting.openvino_ir import IrWeights, convert_openvino
from trimtab_trainer.exporting.parity import compare_outputs
from trimtab_trainer.openvino_library import InferencePrecision


def convert(
    source: Path,
    path: Path,
    *,
    weights: IrWeights = IrWeights.FP32,
    precision: InferencePrecision = InferencePrecision.F32,
) -> ExportedFile:
    return convert_openvino(source, path, weights=weights, precision=precision)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "model.onnx"
    return export_onnx(make_net(), example=torch.rand(2, 1, 6, 6), path=path, opset=18).path


@pytest.mark.parametrize(
    ("kinds", "names", "tolerance"),
    [
        pytest.param(
            (IrWeights.FP32, InferencePrecision.F32),
            FileDtypes(("fp32",), ("fp32",)),
            1e-5,
            id="fp32",
        ),
        pytest.param(
            (IrWeights.FP16, InferencePrecision.F32),
            FileDtypes(("fp16",), ("fp32",)),
            1e-3,
            id="fp16 weights",
        ),
        pytest.param(
            (IrWeights.FP32, InferencePrecision.BF16),
            FileDtypes(("fp32",), ("bf16",)),
            3e-2,
            id="bf16 compute",
        ),
    ],
)
def test_an_ir_agrees_with_the_module_and_has_the_types_asked_for(
    source: Path,
    tmp_path: Path,
    kinds: tuple[IrWeights, InferencePrecision],
    names: FileDtypes,
    tolerance: float,
) -> None:
    weights, precision = kinds
    path = convert(source, tmp_path / "x.xml", weights=weights, precision=precision).path
    runner = open_runner(path, threads=1)
    batches = [torch.rand(5, 1, 6, 6), torch.rand(1, 1, 6, 6)]
    compare_outputs(make_net().eval(), runner, batches, tolerance=tolerance)
    assert inspect_dtypes(path) == names


@pytest.mark.parametrize(
    ("weights", "activations"), [("int8", "uint8"), ("int8", "int8"), ("int8", "fp32")]
)
def test_quantized_files_keep_their_types_and_results(
    tmp_path: Path, weights: str, activations: str
) -> None:
    source = make_linear(tmp_path / "x.onnx", weights=weights, activations=activations)
    written = convert(source, tmp_path / "x.xml")
    assert inspect_dtypes(written.path) == FileDtypes((weights,), (activations,))
    # 64 × 8 weights of one byte each.
    assert 512 <= written.path.with_suffix(".bin").stat().st_size < 600
    batch = torch.rand(4, 64)
    expected = open_runner(source, threads=1)
    compare_outputs(expected, open_runner(written.path, threads=1), [batch], tolerance=2e-3)


def test_half_weights_halve_the_artifact_and_sizes_count_both_files(tmp_path: Path) -> None:
    source = make_linear(tmp_path / "x.onnx", sizes=(256, 256))
    full = convert(source, tmp_path / "full.xml")
    half = convert(source, tmp_path / "half.xml", weights=IrWeights.FP16)
    sizes = [sum(part.stat().st_size for part in artifact_files(x.path)) for x in (full, half)]
    assert full.size_mib == sizes[0] / 1024**2
    assert half.size_mib == pytest.approx(full.size_mib / 2, rel=0.05)


def test_nothing_else_is_left_and_no_path_of_the_machine_is_inside(
    source: Path, tmp_path: Path
) -> None:
    path = convert(source, tmp_path / "x.xml").path
    assert sorted(file.name for file in tmp_path.iterdir()) == ["x.bin", "x.xml"]
    text = path.read_text(encoding="utf-8")
    assert all(str(folder) not in text for folder in (source.parent, tmp_path, Path.home()))


def test_a_fixed_batch_stays_fixed(tmp_path: Path) -> None:
    path = convert(make_linear(tmp_path / "x.onnx", batch=2), tmp_path / "x.xml").path
    runner = open_runner(path, threads=1)
    assert runner(torch.ones(3, 64)).shape == (3, 8)
    with pytest.raises(ExportFailedError, match="takes 2 samples at once but 3 were asked for"):
        runner.make_inputs(3)


def test_f70_an_operator_that_openvino_does_not_know_is_named_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    source = make_operator(tmp_path / "x.onnx", "NoSuchOperator")
    with pytest.raises(ExportFailedError, match=r"operator NoSuchOperator-18 of x\.onnx"):
        convert(source, tmp_path / "x.xml")
    assert list(tmp_path.iterdir()) == [source]


def test_f71_an_ir_that_loses_the_disk_on_its_way_has_no_graph_under_its_name(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = convert(source, tmp_path / "x.xml").path
    published: list[str] = []

    def fail_second(target: Path, content: bytes) -> None:
        if published:
            raise OSError(28, "No space left on device")
        published.append(target.name)

    monkeypatch.setattr("trimtab_trainer.exporting.openvino_ir.atomic_write", fail_second)
    with pytest.raises(OSError, match="No space left"):
        convert(source, path)
    assert published == ["x.bin"]
    assert not path.exists()


def test_another_suffix_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\*\.xml but is named x\.ir"):
        convert(source, tmp_path / "x.ir")


def test_types_cannot_be_read_from_an_ir_without_its_weights(source: Path, tmp_path: Path) -> None:
    path = convert(source, tmp_path / "x.xml").path
    path.with_suffix(".bin").unlink()
    with pytest.raises(ExportFailedError, match=r"OpenVINO refuses x\.xml: .*bin file"):
        inspect_dtypes(path)
