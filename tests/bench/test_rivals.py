"""The rivals of the compression benchmark do what their names promise."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from bench.rival_compression import quantize_by_default, quantize_by_hand
from bench.torch_pruning_steps import prune_in_steps
from trimtab_trainer.exporting.onnx_graph import export_onnx
from trimtab_trainer.models.builtin import SmallCnn

BATCHES = [np.random.default_rng(0).random((4, 1, 8, 8), np.float32)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rivals") / "dense.onnx"
    model = SmallCnn(channels=1, size=8, num_classes=3, width=4, depth=2)
    export_onnx(model, example=torch.from_numpy(BATCHES[0]), path=path, opset=18)
    return path


def read_zero_points(path: Path) -> tuple[set[int], set[int]]:
    """Return the types of all zero points, and the sizes of the convolutions' weight scales."""
    graph = onnx.load(path).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == "DequantizeLinear"]
    weights = [node for node in nodes if node.input[0] in stored and "weight" in node.input[0]]
    activations = [node for node in nodes if node.input[0] not in stored]
    sizes = {int(np.prod(stored[node.input[1]].dims)) for node in weights}
    return {stored[node.input[2]].data_type for node in activations}, sizes


def test_the_default_is_signed_with_one_scale_a_tensor(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "default.onnx"
    quantize_by_default(source, target, BATCHES)
    assert read_zero_points(target) == ({TensorProto.INT8}, {1})


def test_by_hand_it_is_unsigned_with_one_scale_a_channel(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "by-hand.onnx"
    quantize_by_hand(source, target, BATCHES)
    assert read_zero_points(target) == ({TensorProto.UINT8}, {3, 4, 8})


def test_torch_pruning_cuts_in_equal_steps_and_leaves_the_output() -> None:
    model = SmallCnn(channels=1, size=8, num_classes=3, width=8, depth=2)
    example = torch.from_numpy(BATCHES[0])
    widths = []
    for step in prune_in_steps(model, example, ratio=0.5, steps=2):
        assert step == len(widths) + 1
        widths.append([len(layer.weight) for layer in model.modules() if is_weighted(layer)])
    assert widths == [[6, 12, 3], [4, 8, 3]]
    assert model(example).shape == (4, 3)


def is_weighted(layer: torch.nn.Module) -> bool:
    return isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear))


def test_torch_pruning_needs_a_layer_that_gives_the_output() -> None:
    with pytest.raises(ValueError, match="must give its 64 scores"):
        next(prune_in_steps(torch.nn.Flatten(), torch.rand(2, 1, 8, 8), ratio=0.5, steps=1))
