"""Which device a process computes on.

Called by the stages before a model is built. Which GPU it is was decided by whoever started the
process: it sees only its own.
"""

from typing import assert_never

import torch

from trimtab_api.v1alpha1.runtime import Device
from trimtab_trainer.errors import UserError

__all__ = ["has_working_cuda", "resolve_device"]


def resolve_device(wanted: Device, *, cuda_works: bool) -> str:
    """Return `cpu` or `cuda`.

    Args:
        wanted: `cluster.device`.
        cuda_works: Whether this process has a GPU that computes.

    Raises:
        UserError: A GPU is asked for and none works.
    """
    match wanted:
        case Device.CPU:
            return "cpu"
        case Device.AUTO:
            return "cuda" if cuda_works else "cpu"
        case Device.CUDA:
            if not cuda_works:
                raise UserError(
                    "cluster.device is cuda but this process has no GPU that works; set it to Auto"
                    " or cpu, or run where torch sees a GPU"
                )
            return "cuda"
        case _:
            assert_never(wanted)


def has_working_cuda() -> bool:
    """Return whether a tiny piece of work on the GPU gives what it must."""
    try:
        return torch.cuda.is_available() and bool(torch.ones(1, device="cuda").all())
    except RuntimeError:  # a driver that does not fit, or a GPU that another process holds
        return False
