"""What an exception of a piece of work means: its failure class and one line for the user.

Called by the executors on the side where the work ran, because a traceback does not travel
between processes. What follows from a class is decided by whoever asked for the work.
"""

import re
import traceback
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import distributed

from trimtab_api.v1alpha1.status import FailureClass
from trimtab_trainer.errors import OutOfMemoryError as WorkerOutOfMemoryError
from trimtab_trainer.errors import PreemptedError, TrainerError, WorkerLostError
from trimtab_trainer.execution._base import Failure
from trimtab_trainer.execution.last_frame import describe_last_frame, shorten

__all__ = [
    "FailureTrap",
    "describe_failure",
    "describe_killed_worker",
    "describe_lost_worker",
    "describe_preempted_worker",
]

_MESSAGE_LIMIT = 256

# PyTorch's allocator for the CPU raises a plain RuntimeError that only its text tells apart.
_CPU_ALLOCATOR = "DefaultCPUAllocator"

# So does gloo for a lost connection; its text starts with the file that noticed it.
_GLOO_TRANSPORT = "gloo/transport"

_EXIT_DETAIL = "Worker exit detail:"
_MEMORY_FIGURE = re.compile(r"[\d.]+GB used / [\d.]+GB limit")


class FailureTrap:
    """A `with` block whose exception becomes a `Failure`; an interrupt of the driver passes.

    Even SystemExit is caught: a script that ends itself must not end the process of a slot.
    """

    def __init__(self, code_dir: Path | None) -> None:
        self._code_dir = code_dir
        self.failure: Failure | None = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> bool:
        """Keep the exception, unless it is one that ends generators or the driver."""
        if not isinstance(error, (Exception, SystemExit)):
            return False
        self.failure = describe_failure(error, code_dir=self._code_dir)
        return True


def describe_failure(error: BaseException, *, code_dir: Path | None) -> Failure:
    """Return the failure that an exception of work amounts to.

    Args:
        error: As caught, with its traceback.
        code_dir: Folder of the user's code; the last frame in it is named, else the very last.
    """
    own = error if isinstance(error, TrainerError) else None
    message = str(error) if own else f"{type(error).__name__}: {error}"
    place = "" if own else describe_last_frame(error, code_dir=code_dir)
    return Failure(
        failure_class=_classify(error),
        message=shorten(message, _MESSAGE_LIMIT - len(place)) + place,
        # That a machine is taken away is nobody's mistake to be looked up.
        traceback=""
        if isinstance(error, PreemptedError)
        else "".join(traceback.format_exception(error)),
        error=own,
        lost_peer=_is_lost_peer(error),
    )


def describe_lost_worker(cause: str) -> Failure:
    """Return the failure of work whose process died.

    Args:
        cause: What Ray says of it; how the process ended is shown, else the first line.
    """
    detail = cause.partition(_EXIT_DETAIL)[2] or cause.strip().partition("\n")[0]
    message = shorten(f"the process that ran the work died: {detail}", _MESSAGE_LIMIT)
    error = WorkerLostError(message)
    return Failure(error.failure_class, message, traceback=cause, error=error)


def describe_preempted_worker(cause: str) -> Failure:
    """Return the failure of work whose process went with its machine, which had been announced.

    Args:
        cause: What Ray says of it.
    """
    error = PreemptedError("the machine that ran the work was taken away")
    return Failure(error.failure_class, str(error), traceback=cause, error=error)


def describe_killed_worker(cause: str) -> Failure:
    """Return the failure of work whose process was killed because the machine had no memory left.

    Args:
        cause: What Ray says of it; the figure in it is shown.
    """
    figure = _MEMORY_FIGURE.search(cause)
    memory = figure[0] if figure else shorten(cause, _MESSAGE_LIMIT // 2)
    message = f"the process that ran the work was killed to free memory of the machine: {memory}"
    error = WorkerOutOfMemoryError(message)
    return Failure(error.failure_class, message, traceback=cause, error=error)


def _classify(error: BaseException) -> FailureClass:
    if isinstance(error, TrainerError):
        return error.failure_class
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or _CPU_ALLOCATOR in str(error):
        return FailureClass.OOM
    if _is_lost_peer(error):
        return FailureClass.NODE_LOST
    return FailureClass.TRIAL_ERROR


def _is_lost_peer(error: BaseException) -> bool:
    return isinstance(error, distributed.DistError) or (
        isinstance(error, RuntimeError) and _GLOO_TRANSPORT in str(error)
    )
