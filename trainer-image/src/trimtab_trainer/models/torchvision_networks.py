"""Torchvision's classification networks: which sizes of image they take, and how they are built.

Called by the built-in networks. Torchvision itself is imported late, because that takes seconds
in every worker and many runs do not need it.
"""

import difflib
import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from trimtab_trainer.data.user_code import blame_user_code
from trimtab_trainer.errors import UserError

__all__ = ["TORCHVISION", "SizeRule", "build_torchvision", "find_size_rule"]

TORCHVISION = "torchvision/"
"""How the name of such a network begins."""


@dataclass(frozen=True, slots=True)
class SizeRule:
    """Which heights and widths a network takes."""

    smallest: int = 1
    step: int = 1
    """Sizes are multiples of it, as networks need that cut an image into patches."""
    square: bool = False
    """Whether height and width must be equal, and stay what the network was built for."""

    def allows(self, height: int, width: int) -> bool:
        """Return whether the network takes images of this size."""
        fits = min(height, width) >= self.smallest and height % self.step == width % self.step == 0
        return fits and (height == width or not self.square)

    def fit(self, size: int) -> int:
        """Return the smallest size that is allowed and not below `size`."""
        return math.ceil(max(size, self.smallest) / self.step) * self.step


# The first prefix that matches counts; other networks take a single pixel. Smaller images leave
# a pooling or convolution without input. Found by forward passes in both modes; torchvision's own
# `min_size` is the size of training for some families and absent for given arguments.
_RULES = (
    ("alexnet", SizeRule(63)),
    ("convnext_", SizeRule(32)),
    ("densenet", SizeRule(29)),
    ("googlenet", SizeRule(15)),
    ("inception_v3", SizeRule(75)),
    ("maxvit_", SizeRule(224, 224, square=True)),  # 7 windows of 32 pixels, at every depth
    ("squeezenet1_0", SizeRule(21)),
    ("squeezenet1_1", SizeRule(17)),
    ("swin_", SizeRule(4)),
    ("vgg", SizeRule(32)),
    ("vit_b_16", SizeRule(16, 16, square=True)),
    ("vit_b_32", SizeRule(32, 32, square=True)),
    ("vit_h_14", SizeRule(14, 14, square=True)),
    ("vit_l_16", SizeRule(16, 16, square=True)),
    ("vit_l_32", SizeRule(32, 32, square=True)),
)

# Without them, outputs in training would be tuples; with init_weights unset, both warn.
_PLAIN = {"aux_logits": False, "init_weights": True}


def find_size_rule(name: str) -> SizeRule:
    """Return which sizes a built-in network takes; those outside torchvision take any.

    Args:
        name: As in `model.builtin`.
    """
    if not name.startswith(TORCHVISION):
        return SizeRule()
    short = name.removeprefix(TORCHVISION)
    return next((rule for prefix, rule in _RULES if short.startswith(prefix)), SizeRule())


def build_torchvision(
    name: str, *, size: int, num_classes: int, args: Mapping[str, Any]
) -> nn.Module:
    """Build a network with random weights, drawn from torch's global generator.

    Auxiliary heads are left out, so that the output is one tensor in training too.

    Args:
        name: As torchvision has it, without the prefix.
        size: Height and width of the images, for networks that are built for one size.
        num_classes: Outputs.
        args: Further keyword arguments of the constructor.

    Raises:
        UserError: There is no such network or argument, an argument is set here already, or the
            constructor refuses a value.
    """
    models = importlib.import_module("torchvision.models")
    names = models.list_models(module=models)
    if name not in names:
        near = difflib.get_close_matches(name, names) or names[:3]
        raise UserError(
            f"model.builtin must name a classification network of torchvision but got {name!r};"
            f" near: {', '.join(near)}"
        )
    fixed = {"weights": None, "num_classes": num_classes, **_fixed_args(name, size)}
    taken = sorted(fixed.keys() & args.keys())
    if taken:
        raise UserError(f"model.args.{taken[0]} must be left out: it is set for {name} already")
    with blame_user_code(f"torchvision/{name}", None):
        network = models.get_model(name, **fixed, **args)
    if not isinstance(network, nn.Module):
        raise TypeError(f"torchvision.models.{name} returned {type(network).__name__}")
    return network


def _fixed_args(name: str, size: int) -> dict[str, Any]:
    if name in ("googlenet", "inception_v3"):
        return _PLAIN
    if name.startswith("vit_"):
        return {"image_size": size}
    if name.startswith("maxvit_"):
        return {"input_size": (size, size)}
    return {}
