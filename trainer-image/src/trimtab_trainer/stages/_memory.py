"""Training again in smaller micro-batches where memory does not suffice.

Stages train and prune hand in what they do; how often it is tried is the failure policy's.
"""

from collections.abc import Callable
from typing import TypeVar

from trimtab_api.defaults import failure_actions
from trimtab_api.v1alpha1.runtime import FailureAction
from trimtab_api.v1alpha1.status import FailureClass
from trimtab_trainer.errors import OutOfMemoryError
from trimtab_trainer.stages._base import Run
from trimtab_trainer.stages._fit import can_shrink

__all__ = ["shrink_until_it_fits"]

ResultT = TypeVar("ResultT")


def shrink_until_it_fits(run: Run, train: Callable[[int], ResultT]) -> ResultT:
    """Train, and again each time that memory does not suffice, as the failure policy allows.

    Args:
        run: The run.
        train: Takes how many times micro-batches are halved.

    Raises:
        OutOfMemoryError: The policy does not shrink, or a micro-batch holds one sample already.
    """
    spec = run.final_spec
    shrinks = 0
    while True:
        try:
            return train(shrinks)
        except OutOfMemoryError as error:
            shrinks += 1
            actions = failure_actions(spec, FailureClass.OOM)
            if FailureAction.SHRINK_BATCH not in actions or not can_shrink(spec, shrinks):
                raise
            run.warn(f"training goes on in micro-batches of half the size: {error}")
