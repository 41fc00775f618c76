"""Small networks as ONNX files, and how to run such files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn
from typing_extensions import override

from trimtab_trainer.exporting.onnx_graph import export_onnx

__all__ = [
    "ResidualNet",
    "TokenNet",
    "edit_tensor",
    "export_network",
    "list_optimized",
    "make_images",
    "read_tensor",
    "run_file",
]

Images = NDArray[np.float32]


class ResidualNet(nn.Module):
    """Grey image, expanded, resized and normalized; a residual block; scores."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.tensor([0.2, 0.3, 0.4]).view(1, 3, 1, 1))
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16))
        self.block = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(16, 5)

    @override
    def forward(self, images: Tensor) -> Tensor:
        large = nn.functional.interpolate(images, size=(8, 8), mode="bilinear")
        normal = (large.expand(-1, 3, -1, -1) - self.mean) / 0.25
        features = self.stem(normal).relu()
        features = (features + self.block(features)).relu()
        scores: Tensor = self.head(self.pool(features).flatten(1))
        return scores


class TokenNet(nn.Module):
    """Patches of a grey image as tokens; one attention block; scores."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, 16, 3, stride=3)
        self.norm = nn.LayerNorm(16)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.head = nn.Linear(16, 5)

    @override
    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patch(images).flatten(2).transpose(1, 2)
        normal = self.norm(tokens)
        tokens = tokens + self.attention(normal, normal, normal, need_weights=False)[0]
        tokens = tokens + self.mlp(tokens)
        scores: Tensor = self.head(tokens.mean(1))
        return scores


def make_images(count: int) -> Images:
    """Return the same grey images of 6x6 at every call."""
    return np.random.default_rng(1).random((count, 1, 6, 6), dtype=np.float32)


def export_network(net: nn.Module, path: Path) -> Path:
    """Write a network that takes such images."""
    return export_onnx(net, example=torch.rand(2, 1, 6, 6), path=path, opset=18).path


def run_file(path: Path, inputs: Images) -> Images:
    """Return the output of an ONNX file."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (outputs,) = session.run(None, {session.get_inputs()[0].name: inputs})
    values: Images = outputs
    return values


def list_optimized(path: Path, folder: Path) -> list[str]:
    """Return the types of the nodes that the runtime makes of a file when it loads it."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node]


def read_tensor(path: Path, name: str) -> NDArray[np.generic]:
    """Return a stored tensor of an ONNX file."""
    stored = {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}
    values: NDArray[np.generic] = numpy_helper.to_array(stored[name])
    return values


def edit_tensor(source: Path, target: Path, name: str, change: Callable[[Images], None]) -> Path:
    """Write a copy of an ONNX file with one stored tensor changed in place."""
    model = onnx.load(source)
    tensor = next(each for each in model.graph.initializer if each.name == name)
    values = numpy_helper.to_array(tensor).copy()
    change(values)
    tensor.CopyFrom(numpy_helper.from_array(values, name))
    onnx.save(model, target)
    return target
