"""Round places on an axis, and how numbers are written there. Pure.

Used by the scales of parameters and objectives, and by charts that choose their own ticks.
"""

import math

from trimtab_api.wording import render_count
from trimtab_trainer.reporting.charts.canvas import NumberStyle

__all__ = ["label_number", "round_ticks"]

_FEWEST = 2
_STEPS = (10, 5, 2, 1)
# Below and from here on a power of ten is easier to read than its digits.
_SMALL, _LARGE = 1e-2, 1e4
_MINUS = "\N{MINUS SIGN}"


def round_ticks(low: float, high: float, *, about: int = 4) -> list[float]:
    """Return round numbers from low to high: about so many, two at least where they differ."""
    if high <= low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    steps = [factor * power for factor in _STEPS]
    wanted = min(step for step in steps if step >= raw * (1 - 1e-9))
    finer = [step for step in (*steps, power / 2) if step <= wanted]
    found = (_multiples(step, low, high) for step in finer)
    return next(ticks for ticks in found if len(ticks) >= _FEWEST)


def _multiples(step: float, low: float, high: float) -> list[float]:
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{index * step:.10g}") for index in range(first, last + 1)]


def label_number(value: float, style: NumberStyle) -> str:
    """Return a number as it stands on an axis: with four digits, in percent, or as a count."""
    match style:
        case NumberStyle.PERCENT:
            text = f"{100 * value:.4g} %"
        case NumberStyle.COUNT:
            text = render_count(value)
        case NumberStyle.PLAIN:
            text = _label_plain(value)
    return _MINUS + text[1:] if text.startswith("-") else text


def _label_plain(value: float) -> str:
    if value and not _SMALL <= abs(value) < _LARGE:
        mantissa, _, exponent = f"{value:.3e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.4g}"
