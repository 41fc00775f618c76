"""A user's network whose training misbehaves on cue: the cue is in a file beside the run.

Each cue acts in one process only and once, so that what runs again can succeed.
"""

import errno
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from typing_extensions import override

__all__ = ["build", "refuse_writes"]


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
    elif deed == "fill":
        os.fsync = refuse_writes(errno.ENOSPC, os.fsync)


def refuse_writes(number: int, fsync: Callable[[int], None]) -> Callable[[int], None]:
    """Return an fsync that fails twice, as on a disk that is full for a while, then works."""
    left = [2]

    def fail(descriptor: int) -> None:
        if left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    return fail
