"""A user's network whose training misbehaves on cue: the cue is in a file beside the run.

Each cue acts in one process only and once, so that what runs again can succeed.
"""

import os
import signal
import threading
from pathlib import Path

import torch
from torch import nn
from typing_extensions import override

__all__ = ["build"]


class Unruly(nn.Module):
    """Two layers; a forward pass in training takes the cue."""

    def __init__(self, cue: Path) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
        self._cue = cue
        self._passes = 0

    @override
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if self.training:
            self._passes += 1
            _act(self._cue, self._passes)
        logits: torch.Tensor = self.layers(inputs)
        return logits


def build(cue: str) -> nn.Module:
    return Unruly(Path(cue))


def _act(cue: Path, passes: int) -> None:
    """Do what the file says: `<deed> <pass of the training>`, after taking the file away."""
    try:
        deed, _, after = cue.read_text().partition(" ")
    except FileNotFoundError:
        return
    if passes < int(after):
        return
    cue.unlink()
    (cue.parent / "acted").write_text(f"{deed} {os.getpid()}")
    if deed == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif deed == "hang":
        threading.Event().wait()
    elif deed == "exhaust":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
