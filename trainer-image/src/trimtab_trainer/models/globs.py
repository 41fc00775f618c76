"""Layer patterns: which modules of a model a list of globs means.

Called by whatever takes patterns of the manifest, and by the preflight, so that a misspelt one
fails before any training.
"""

import difflib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from torch import nn

from trimtab_trainer.errors import UserError

__all__ = ["WRAPPER_PREFIX", "match_layers", "name_layers"]

WRAPPER_PREFIX = "network."
"""What the names of modules begin with where the user's network stands in one of ours."""


def match_layers(model: nn.Module, patterns: Sequence[str], *, field: str) -> frozenset[str]:
    """Return the names of the modules that the patterns match, and of all modules inside them.

    Patterns are shell-style, and `*` crosses dots. Names are those of the user's network: the
    prefix `network.` of a wrapped one may be written or left out.

    Args:
        model: the model.
        patterns: as in the manifest.
        field: where in the manifest they stand, such as `prune.ignoreLayers`.

    Raises:
        UserError: a pattern matches no module; the text names near ones.
    """
    names = [name for name, _ in model.named_modules() if name]
    matched: set[str] = set()
    for pattern in patterns:
        hits = [name for name in names if _is_match(name, pattern)]
        if not hits:
            raise UserError(f"{field}: {_describe_empty_match(pattern, names)}")
        matched.update(hits)
    return frozenset(
        name for name in names if any(name == hit or name.startswith(f"{hit}.") for hit in matched)
    )


def name_layers(layers: Iterable[str]) -> str:
    """Return the names of modules as the user writes them, in a list for people."""
    return ", ".join(layer.removeprefix(WRAPPER_PREFIX) for layer in layers)


def _is_match(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name.removeprefix(WRAPPER_PREFIX), pattern)


def _describe_empty_match(pattern: str, names: Sequence[str]) -> str:
    # The wrapper itself is none of the user's modules.
    own = [name for name in names if f"{name}." != WRAPPER_PREFIX]
    short = [name.removeprefix(WRAPPER_PREFIX) for name in own]
    near = difflib.get_close_matches(pattern, short, n=3, cutoff=0.4) or short[:3]
    return f"{pattern!r} matches no layer of the model; near names: {', '.join(near)}"
