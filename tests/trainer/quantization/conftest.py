"""Exported files that the tests of all techniques share."""

from pathlib import Path

import pytest
import torch
from torch import nn

from small_exports import ResidualNet, TokenNet, export_network, make_images


@pytest.fixture(scope="session")
def residual_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    net = ResidualNet()
    net(torch.from_numpy(make_images(64)))  # statistics of the batch normalization
    return export_network(net, tmp_path_factory.mktemp("residual") / "model.onnx")


@pytest.fixture(scope="session")
def token_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return export_network(TokenNet(), tmp_path_factory.mktemp("token") / "model.onnx")


@pytest.fixture(scope="session")
def linear_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Linear(8, 4))
    return export_network(net, tmp_path_factory.mktemp("linear") / "model.onnx")
