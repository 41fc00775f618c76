"""How many GPUs there are, and which share of them a process gets.

Called by the pipeline and by `ray_actors`. Whether a GPU works, and whether work uses it, is
decided by the caller.
"""

import math

import torch

__all__ = ["count_gpus", "share_gpus"]

# Ray keeps four decimals of a resource; a share rounded up would not fit as often as planned.
_PARTS = 10_000


def count_gpus() -> int:
    """Return how many GPUs this process may see."""
    return torch.cuda.device_count()


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
