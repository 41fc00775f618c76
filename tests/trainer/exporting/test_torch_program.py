"""A .pt2 file computes what the module computes, tells nothing of this machine, and has its types."""

import copy
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from typing_extensions import override

from export_models import NormalizedNet, make_failing, make_net, raise_key_error
from trimtab_trainer.benchmarking.runners import open_runner
from trimtab_trainer.errors import ExportFailedError
from trimtab_trainer.exporting.artifact import FileDtypes
from trimtab_trainer.exporting.dtypes import inspect_dtypes
from trimtab_trainer.exporting.parity import compare_outputs
from trimtab_trainer.exporting.torch_program import export_pt2

EXAMPLE = torch.rand(2, 1, 6, 6)


class Narrow(nn.Module):
    """A network in another type between inputs and outputs of fp32; its last layer stays fp32."""

    def __init__(self, dtype: torch.dtype, *, last_dtype: torch.dtype) -> None:
        super().__init__()
        network = make_net().network
        self.body, self.last = network[:-1].to(dtype), network[-1].to(last_dtype)
        self.dtypes = (dtype, last_dtype)

    @override
    def forward(self, images: Tensor) -> Tensor:
        features = self.body(images.expand(-1, 3, -1, -1).to(self.dtypes[0]))
        scores: Tensor = self.last(features.to(self.dtypes[1]))
        return scores.float()


@pytest.fixture(scope="module")
def net() -> NormalizedNet:
    return make_net()


@pytest.fixture(scope="module")
def exported(net: NormalizedNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "model.pt2"
    return export_pt2(net, example=EXAMPLE, path=path).path


@pytest.mark.parametrize("batch_size", [1, 7])
def test_file_agrees_with_the_module_in_evaluation_mode_at_any_batch_size(
    net: NormalizedNet, exported: Path, batch_size: int
) -> None:
    reference = copy.deepcopy(net).eval()
    inputs = torch.rand(batch_size, 1, 6, 6)
    parity = compare_outputs(reference, open_runner(exported, threads=1), [inputs], tolerance=1e-6)
    assert parity.samples == batch_size


def test_a_fixed_batch_is_in_the_file(net: NormalizedNet, tmp_path: Path) -> None:
    path = export_pt2(net, example=EXAMPLE, path=tmp_path / "x.pt2", batch=1).path
    program = torch.export.load(path).module()
    assert program(torch.rand(1, 1, 6, 6)).shape == (1, 4)
    with pytest.raises(RuntimeError, match="equal to 1"):
        program(torch.rand(2, 1, 6, 6))


def test_file_holds_no_path_of_the_machine_and_no_example(exported: Path) -> None:
    with zipfile.ZipFile(exported) as archive:
        # Stored, not compressed, so that the search below sees every byte.
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    content = exported.read_bytes()
    for note in (b"export_models.py", b"site-packages", b".tmp-", str(Path.home()).encode() + b"/"):
        assert note not in content
    [example] = [size for name, size in sizes.items() if "sample_inputs" in name]
    assert EXAMPLE.numpy().tobytes()[:64] not in content
    assert example < 1500


def test_the_module_is_left_as_it_was_and_exporting_again_gives_the_same_file(
    net: NormalizedNet, exported: Path, tmp_path: Path
) -> None:
    again = export_pt2(net, example=torch.rand(2, 1, 6, 6), path=tmp_path / "other.pt2")
    assert net.training
    assert again.path.read_bytes() == exported.read_bytes()


@pytest.mark.parametrize(
    ("function", "cause"),
    [
        pytest.param(lambda x: x if x.sum() > 0 else -x, r"module 1\.0 .*data-dependent", id="if"),
        pytest.param(raise_key_error, r"module 1\.0 .*KeyError: 'of the user'", id="raises"),
        pytest.param(lambda x: (x, x), r"one tensor but returns 2 in a tuple", id="two outputs"),
    ],
)
def test_f70_what_cannot_be_exported_says_why_and_leaves_nothing(
    tmp_path: Path, function: Callable[[Tensor], object], cause: str
) -> None:
    with pytest.raises(ExportFailedError, match=cause):
        export_pt2(make_failing(function), example=torch.rand(3, 4), path=tmp_path / "x.pt2")
    assert list(tmp_path.iterdir()) == []


def test_types_of_a_float_file_are_read_back(exported: Path) -> None:
    assert inspect_dtypes(exported) == FileDtypes(("fp32",), ("fp32",))


@pytest.mark.parametrize(
    ("dtype", "last_dtype", "names"),
    [
        pytest.param(torch.bfloat16, torch.bfloat16, ("bf16",), id="bf16"),
        pytest.param(torch.float16, torch.float32, ("fp16", "fp32"), id="fp16 with a float layer"),
    ],
)
def test_types_of_a_narrow_file_are_read_back_and_it_runs(
    tmp_path: Path, dtype: torch.dtype, last_dtype: torch.dtype, names: tuple[str, ...]
) -> None:
    model = Narrow(dtype, last_dtype=last_dtype)
    path = export_pt2(model, example=EXAMPLE, path=tmp_path / "x.pt2").path
    assert inspect_dtypes(path) == FileDtypes(names, names)
    output = open_runner(path, threads=1)(EXAMPLE)
    assert output.dtype == torch.float32
    assert torch.allclose(output, model.eval()(EXAMPLE), atol=0.05)


def test_types_cannot_be_read_from_a_file_that_is_no_program(tmp_path: Path) -> None:
    path = tmp_path / "x.pt2"
    path.write_bytes(b"not a model")
    with pytest.raises(ExportFailedError, match=r"PyTorch refuses x\.pt2: "):
        inspect_dtypes(path)
    with pytest.raises(ValueError, match=r"from \['\.pt2', '\.xml'\] files but this is x\.onnx"):
        inspect_dtypes(tmp_path / "x.onnx")
