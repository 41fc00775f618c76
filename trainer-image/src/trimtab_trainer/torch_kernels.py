"""SEAM: oneDNN inside PyTorch, kept off kernels that are wrong now and then.

Called by whatever runs networks, before the first of them. On processors with AMX, training in bf16
gave NaN at random with equal seeds, and never without AMX; docs/decisions/0021 tells what was
measured and what is only supposed.
"""

import os

import torch
from torch.backends import mkldnn

__all__ = ["limit_kernels"]

_LIMIT = "ONEDNN_MAX_CPU_ISA"
_BELOW_AMX = "AVX10_1_512"


def limit_kernels() -> None:
    """Let oneDNN inside PyTorch use every instruction but AMX; what the environment says wins.

    The variable is read once, by the first question to the library, and is taken away then:
    OpenVINO has a oneDNN of its own that reads it too and is slower with it.
    """
    if _LIMIT in os.environ or not mkldnn.is_available():  # type: ignore[no-untyped-call]
        return
    os.environ[_LIMIT] = _BELOW_AMX
    torch.zeros(1).to_mkldnn()
    del os.environ[_LIMIT]
