"""How many GPUs there are, and which share of cores and GPUs a process gets.

Called by the pipeline, the stages and `ray_actors`. Whether a GPU works, and whether work uses it,
is decided by the caller.
"""

import math
from dataclasses import dataclass

import torch

__all__ = ["Machines", "count_gpus", "share_cores", "share_gpus"]

# Ray keeps four decimals of a resource; a share rounded up would not fit as often as planned.
_PARTS = 10_000


@dataclass(frozen=True, slots=True)
class Machines:
    """The machines of a cluster that take work; they are alike."""

    count: int
    cores: int
    """Of each."""
    gpus: int
    """Of each."""


def count_gpus() -> int:
    """Return how many GPUs this process may see."""
    return torch.cuda.device_count()


def share_cores(cores: int, machines: int, processes: int) -> int:
    """Return the cores of each of so many equal processes, at least one.

    Args:
        cores: Of one machine.
        machines: How many of them, at least 1; processes are spread over them evenly.
        processes: At least 1.
    """
    together = math.ceil(processes / machines)
    return max(1, cores // together)


def share_gpus(gpus: int, workers: int) -> float:
    """Return the share of GPUs of each of so many equal processes.

    One whole GPU where there are enough; else 1/k, where k processes have one GPU together. A
    plain quotient such as 2/3 would leave parts of GPUs that no process fits into.

    Args:
        gpus: GPUs on the machine, at least 0.
        workers: Processes that share them, at least 1.
    """
    if gpus == 0:
        return 0.0
    together = math.ceil(workers / gpus)
    return math.floor(_PARTS / together) / _PARTS
