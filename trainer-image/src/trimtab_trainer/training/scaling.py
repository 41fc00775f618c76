"""Loss scaling: keeps small gradients of narrow types from vanishing, and says when that fails.

Called by the training loop. The scaling itself is PyTorch's own `GradScaler`, as in Micikevicius
et al., "Mixed Precision Training" (2018); here are its settings, the count of what it skipped, and
the limits past which a type is given up, which PyTorch does not have.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch.amp.grad_scaler import GradScaler

from trimtab_api.v1alpha1.train import LossScaleMode, PrecisionDtype
from trimtab_trainer.errors import DivergedError
from trimtab_trainer.training.precision import Precision
from trimtab_trainer.training.recipe import PrecisionSettings

__all__ = ["MAX_STREAK", "SCALE_FLOOR", "LossScaling"]

MAX_STREAK = 40
"""Steps in a row that may overflow: from the largest first scale, 2³², a healthy training needs
32 halvings at most."""
SCALE_FLOOR = 2.0**-6
"""A scale below 1 makes gradients smaller; a network that needs this one does not fit the type."""
_FIRST_SCALE = 65536.0
_SCALED_TYPES = (PrecisionDtype.FP16, PrecisionDtype.FP8)


class LossScaling:
    """Scales the loss of each step as declared, and counts overflows without waiting for a GPU."""

    def __init__(
        self, settings: PrecisionSettings, precision: Precision, device: torch.device
    ) -> None:
        mode = settings.loss_scale
        if mode is LossScaleMode.AUTO:
            scaled = precision.dtype in _SCALED_TYPES
            mode = LossScaleMode.DYNAMIC if scaled else LossScaleMode.OFF
        first = settings.loss_scale_value or _FIRST_SCALE
        self._fixed = first if mode is LossScaleMode.STATIC else None
        self._enabled = mode is not LossScaleMode.OFF
        self._scaler = GradScaler(device.type, init_scale=first, enabled=self._enabled)
        self._one = torch.ones((), device=device)
        self._overflows = torch.zeros((), device=device)
        self._streak = torch.zeros((), device=device)

    def scale(self, loss: torch.Tensor) -> torch.Tensor:
        """Return the loss to go backward from."""
        return self._scaler.scale(loss)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Take back the scale and update the weights, or skip the step if a gradient overflowed."""
        self._scaler.step(optimizer)
        if not self._enabled:
            return
        before = self._read_scale()
        self._scaler.update()
        overflowed = (self._read_scale() < before).float()
        if self._fixed is not None:
            self._scaler.update(self._fixed)
        self._overflows += overflowed
        self._streak = (self._streak + 1) * overflowed

    def refuse_collapse(self, when: str) -> None:
        """Give the type up when scaling no longer helps.

        Raises:
            DivergedError: Too many steps in a row overflowed, or the scale is too small.
        """
        if not self._enabled:
            return
        streak, scale = torch.stack([self._streak, self._read_scale()]).tolist()
        if streak >= MAX_STREAK:
            raise DivergedError(
                f"fewer than {MAX_STREAK} steps in a row may overflow but {streak:.0f} did"
                f" at {when}"
            )
        if scale < SCALE_FLOOR and self._fixed is None:
            raise DivergedError(
                f"the loss scale must be at least {SCALE_FLOOR} but is {scale} at {when}"
            )

    def current_scale(self) -> float | None:
        """Return the scale of the next step; None where the loss is not scaled."""
        return float(self._read_scale()) if self._enabled else None

    def take_overflows(self) -> int:
        """Return how many steps were skipped since the last call."""
        count = int(self._overflows)
        self._overflows.zero_()
        return count

    def state(self) -> dict[str, Any]:
        """Return what `restore` takes, as JSON-able values; valid right after `take_overflows`."""
        return {"scaler": self._scaler.state_dict(), "streak": float(self._streak)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same type."""
        if self._enabled:
            self._scaler.load_state_dict(dict(state["scaler"]))
        self._streak.fill_(state["streak"])
        self._overflows.zero_()

    def _read_scale(self) -> torch.Tensor:
        # The scaler hands out its scale without a wait only as a factor.
        return self._scaler.scale(self._one)
