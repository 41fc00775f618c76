"""What pruning works on: a model with layers that consist of parts, of which some can go.

The small interface behind which `structures` cuts and `weights` masks. `allocation`, `budget`,
`sensitivity` and `iteration` see only this, so that all granularities share one loop.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import nn

from trimtab_api.v1alpha1.prune import Granularity
from trimtab_trainer.errors import UserError
from trimtab_trainer.models.globs import WRAPPER_PREFIX, match_layers
from trimtab_trainer.pruning.amounts import AmountKind, Counters
from trimtab_trainer.pruning.cuts import Cut
from trimtab_trainer.pruning.saliency import Losses
from trimtab_trainer.pruning.schedule import plan_width

__all__ = ["AbstractPrunable", "PrunableLayer", "find_fixed_shares"]

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class PrunableLayer:
    """One layer, with all that is coupled to it, as it was before pruning."""

    name: str
    """Identifies the layer; the name of its module, or with a number behind it."""
    kind: Granularity
    """What its parts are: Neurons, Filters or Weights."""
    width: int
    """Number of parts, at least 1."""
    fixed_share: float | None
    """Share to remove whatever the allocation says; None = the allocation says."""
    max_share: float
    """Largest share that may go, 0…1."""
    multiple: int
    """The number of parts that stay is a multiple of it, at least 1."""

    def keep(self, share: float) -> int:
        """Return how many parts stay when this share of them shall go, inside all limits."""
        return plan_width(self.width, share, max_layer_ratio=self.max_share, round_to=self.multiple)


@dataclass(frozen=True, slots=True)
class AbstractPrunable(ABC):
    """A model at some point of its pruning."""

    model: nn.Module
    """The model as it is now."""
    layers: tuple[PrunableLayer, ...]
    """All layers that may lose parts, in order of the network, as they were before pruning."""
    cuts: tuple[Cut, ...]
    """Physical cuts since the dense model."""

    @property
    @abstractmethod
    def widths(self) -> dict[str, int]:
        """Return how many parts each layer has now, by its name."""

    @abstractmethod
    def score(self, losses: Losses) -> dict[str, torch.Tensor]:
        """Return the importance of the parts of each layer, float32 on the CPU.

        Args:
            losses: asked only by measures that take gradients; see `saliency`.

        Raises:
            DivergedError: a loss is not finite.
        """

    @abstractmethod
    def shrink(self, widths: Mapping[str, int], scores: Mapping[str, torch.Tensor]) -> Self:
        """Return a copy that keeps only so many parts, of each layer those that score highest.

        Args:
            widths: parts that stay, for all layers; none above what there is now.
            scores: from `score` at this point of the pruning.
        """

    @abstractmethod
    def hold(self) -> None:
        """Put back what the optimizer changed of parts that are gone; after each of its steps."""

    @abstractmethod
    def reduction(self, kind: AmountKind, widths: Mapping[str, int], counters: Counters) -> float:
        """Return which fraction of a cost these widths would save of the model as it is now.

        Values of weights do not matter.

        Args:
            kind: the cost; RATIO counts parts.
            widths: parts that would stay, for all layers.
            counters: how models are counted.

        Raises:
            UserError: removing such parts cannot save this cost.
        """


def find_fixed_shares(
    model: nn.Module, ratios: Mapping[str, float], makers: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """Find the layers whose share `prune.layerRatios` fixes.

    Where several patterns match one layer, the smallest share counts: mappings have no order.

    Args:
        model: the model.
        ratios: pattern → share.
        makers: layer → the modules whose outputs or weights its parts are.

    Raises:
        UserError: a pattern matches no module, or none of a layer that may be pruned.
    """
    shares: dict[str, float] = {}
    for pattern, share in ratios.items():
        modules = match_layers(model, [pattern], field="prune.layerRatios")
        hits = [name for name, makers_of in makers.items() if not modules.isdisjoint(makers_of)]
        if not hits:
            names = [name.removeprefix(WRAPPER_PREFIX) for name in makers]
            shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
            raise UserError(
                f"prune.layerRatios: {pattern!r} matches no layer that may be pruned; expected a "
                f"pattern that matches one of {shown}"
            )
        shares |= {name: min(share, shares.get(name, 1.0)) for name in hits}
    return shares
