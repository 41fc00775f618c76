"""How far an epoch has come that is not over yet, so that a training can go on within it.

Kept by the training loop while an epoch runs; it travels in the facts of a state.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch

from trimtab_api.v1alpha1.train import PrecisionDtype

__all__ = ["EpochPart"]


@dataclass(slots=True)
class EpochPart:
    """What of an epoch is done."""

    summed: torch.Tensor
    """Sum of this member's losses so far, on the device. A team goes on with the leader's: its
    `train_loss` of this epoch is then an estimate."""
    batches: int = 0
    """How many are done."""
    seconds: float = 0.0
    """Spent on it by processes that are gone."""
    overflows: int = 0
    """Steps that were skipped, but for those of the current type."""
    given_up: PrecisionDtype | None = None
    """The type that the epoch began in, where it did not suffice."""
    started: float | None = None
    """When this process began or went on; None before that."""

    @classmethod
    def start(cls, device: torch.device) -> Self:
        """Return an epoch of which nothing is done."""
        return cls(torch.zeros((), device=device))

    @classmethod
    def parse(cls, facts: Mapping[str, Any], device: torch.device) -> Self:
        """Return what `render` gave.

        Raises:
            KeyError: Something is missing.
            ValueError: The type is none.
        """
        given_up = facts["given_up"]
        return cls(
            torch.tensor(facts["loss"], device=device),
            batches=facts["batches"],
            seconds=facts["seconds"],
            overflows=facts["overflows"],
            given_up=PrecisionDtype(given_up) if given_up else None,
        )

    def render(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        return {
            "loss": float(self.summed),
            "batches": self.batches,
            "seconds": self.count_seconds(),
            "overflows": self.overflows,
            "given_up": self.given_up.value if self.given_up else None,
        }

    def count_seconds(self) -> float:
        """Return the time spent on it, by processes that are gone too."""
        here = 0.0 if self.started is None else time.perf_counter() - self.started
        return self.seconds + here
