"""Several processes that train one network together, each on its share of every batch.

Called by the stages, which start the processes, and by the training loop. Wraps torch's
distributed package: gloo between CPUs, NCCL between GPUs, DDP for gradients. Who the members are
and where they meet is decided elsewhere.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

__all__ = ["Team", "join", "share_buffers", "share_gradients", "sum_over", "without_sharing"]

_TIMEOUT_SECONDS = 86_400.0
"""The others wait while rank 0 waits for a full disk. A member that died or hangs is noticed by
whoever runs the processes."""


@dataclass(frozen=True, slots=True)
class Team:
    """Who trains together; the default trains alone."""

    rank: int = 0
    """Which member this process is, 0…size-1; results of rank 0 are the team's."""
    size: int = 1
    address: str = ""
    """Where the members meet: `host:port`, a free TCP port on the machine of rank 0."""


@contextmanager
def join(team: Team, *, device: str, timeout_seconds: float = _TIMEOUT_SECONDS) -> Iterator[None]:
    """Connect the members for the length of a block; a team of one connects nothing.

    Args:
        team: The same for all members but for the rank.
        device: `cpu` or `cuda`.
        timeout_seconds: How long a member waits for the others, here and at each exchange.

    Raises:
        RuntimeError: Members did not come, or went.
    """
    if team.size == 1:
        yield
        return
    distributed.init_process_group(
        "nccl" if device == "cuda" else "gloo",
        init_method=f"tcp://{team.address}",
        rank=team.rank,
        world_size=team.size,
        timeout=timedelta(seconds=timeout_seconds),
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()


def share_gradients(model: nn.Module, team: Team) -> nn.Module:
    """Return a module that computes what the model does and averages gradients over the team.

    All members start from the weights of rank 0. The model itself stays as it is.
    """
    return model if team.size == 1 else DistributedDataParallel(model)


def without_sharing(module: nn.Module) -> AbstractContextManager[None]:
    """Return a context whose backward passes only add up gradients in this process."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()


def share_buffers(model: nn.Module, team: Team) -> None:
    """Give all members the buffers of rank 0, whose weights are kept.

    Each has counted its batch norm's means over its own share of the batches.
    """
    if team.size > 1:
        for buffer in model.buffers():
            distributed.broadcast(buffer, src=0)


def sum_over(team: Team, values: torch.Tensor) -> torch.Tensor:
    """Return the sum of all members' values, the same for each; in place."""
    if team.size > 1:
        distributed.all_reduce(values)
    return values
