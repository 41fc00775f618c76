"""What an exception of a piece of work means: its failure class and one line for the user.

Called by the executors on the side where the work ran, because a traceback does not travel
between processes. What follows from a class is decided by whoever asked for the work.
"""

import traceback
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

from trimtab_api.v1alpha1.status import FailureClass
from trimtab_trainer.errors import TrainerError, WorkerLostError
from trimtab_trainer.execution._base import Failure

__all__ = ["FailureTrap", "describe_failure", "describe_lost_worker"]

_MESSAGE_LIMIT = 256

# PyTorch's allocator for the CPU raises a plain RuntimeError that only its text tells apart.
_CPU_ALLOCATOR = "DefaultCPUAllocator"


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
    place = "" if own else _describe_last_frame(error, code_dir)
    return Failure(
        failure_class=_classify(error),
        message=_shorten(message, _MESSAGE_LIMIT - len(place)) + place,
        traceback="".join(traceback.format_exception(error)),
        error=own,
    )


def describe_lost_worker(cause: str, failure_class: FailureClass) -> Failure:
    """Return the failure of work whose process died.

    Args:
        cause: What the system says of it; its first line is shown.
        failure_class: NodeLost, or OOM where the cause is known to be memory.
    """
    first_line = cause.strip().partition("\n")[0]
    message = _shorten(f"the process that ran the work died: {first_line}", _MESSAGE_LIMIT)
    return Failure(failure_class, message, traceback=cause, error=WorkerLostError(message))


def _classify(error: BaseException) -> FailureClass:
    if isinstance(error, TrainerError):
        return error.failure_class
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or _CPU_ALLOCATOR in str(error):
        return FailureClass.OOM
    return FailureClass.TRIAL_ERROR


def _describe_last_frame(error: BaseException, code_dir: Path | None) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    users = [frame for frame in frames if code_dir and _is_inside(frame.filename, code_dir)]
    chosen = (users or frames)[-1:]
    return "".join(
        f" ({Path(frame.filename).name}:{frame.lineno} {frame.name})" for frame in chosen
    )


def _is_inside(filename: str, folder: Path) -> bool:
    return Path(filename).is_relative_to(folder.resolve())


def _shorten(text: str, limit: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
