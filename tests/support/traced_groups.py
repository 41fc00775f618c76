"""Groups of networks that are traced once: a trace takes longer than all else a small test does."""

import pytest
import torch
from torch import nn

from trimtab_trainer.pruning import cutter
from trimtab_trainer.pruning.dependency import find_groups
from trimtab_trainer.pruning.groups import ChannelGroup

_FOUND: dict[str, tuple[ChannelGroup, ...]] = {}


def trace_each_network_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let networks that are printed alike share their groups; only for such whose code is alike."""

    def find(model: nn.Module, example: torch.Tensor) -> tuple[ChannelGroup, ...]:
        key = f"{model} {tuple(example.shape)}"
        if key not in _FOUND:
            _FOUND[key] = find_groups(model, example)
        return _FOUND[key]

    monkeypatch.setattr(cutter, "find_groups", find)
