"""Which layers stay float when a static file misses a limit. Pure.

Called by stage quantize, which hands in how much each layer hurts and a way to find out whether a
set of float layers is good enough. Writing and judging files is left to it.
"""

from collections.abc import Callable, Iterable, Sequence

from trimtab_trainer.quantization.layer_errors import LayerError

__all__ = ["find_kept_layers", "rank_layers"]


def rank_layers(errors: Iterable[LayerError]) -> tuple[str, ...]:
    """Return the names of the layers, those that hurt most first; equal ones in their order."""
    return tuple(entry.layer for entry in sorted(errors, key=lambda entry: -entry.error))


def find_kept_layers(
    ranking: Sequence[str], is_good: Callable[[Sequence[str]], bool]
) -> tuple[str, ...] | None:
    """Bisect the fewest layers that must stay float: a prefix of the ranking.

    A longer prefix is taken to be good where a shorter one is. Nothing kept is known not to be
    good, and everything kept is no quantized model, so neither is asked for.

    Args:
        ranking: Layers, the most sensitive first.
        is_good: Whether a model with these layers in float keeps the limits; asked at most
            ceil(log2(number of layers)) times.

    Returns:
        The layers to keep; None when a model with all but one in float is not good either.
    """
    bad, good = 0, len(ranking)
    while good - bad > 1:
        middle = (bad + good) // 2
        if is_good(ranking[:middle]):
            good = middle
        else:
            bad = middle
    return tuple(ranking[:good]) if 0 < good < len(ranking) else None
