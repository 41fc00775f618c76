"""Scales of the search charts: a parameter's value, or an objective's, as a place on an axis. Pure.

Called by `trial_points`. A scale spans the whole space of its parameter, so a reader sees when the
best values lie at an end of it.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trimtab_api.metrics import KNOWN_METRICS
from trimtab_api.v1alpha1._types import Scalar
from trimtab_api.v1alpha1.search import NumberType, Parameter
from trimtab_api.wording import render_scalar
from trimtab_trainer.reporting.charts.canvas import Axis, NumberStyle, Tick, ValueRange
from trimtab_trainer.reporting.charts.numbers import label_number, round_ticks

__all__ = ["ParameterScale", "build_scales", "choose_style", "make_value_axis"]

_TICKS, _FEWEST = 4, 3
_LABEL, _CHOICES = 12, 8
_SPREAD = 0.5
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, slots=True)
class ParameterScale:
    """Where the values of a parameter stand on its axis."""

    name: str
    axis: Axis
    choices: tuple[Scalar, ...] = ()
    """Of a categorical parameter; the others are ranges."""
    low: float = 0.0
    high: float = 1.0
    is_log: bool = False

    def place(self, value: Scalar) -> float:
        """Return the place of a value, 0…1; one outside the space stands at an end."""
        if self.choices:
            same = [choice == value and type(choice) is type(value) for choice in self.choices]
            return (same.index(True) + 0.5) / len(same) if True in same else 0.0
        return _share(float(value), self.low, self.high, is_log=self.is_log)

    def spread(self, value: Scalar, number: int) -> float:
        """Return the place of a trial's value, beside those of others with the same choice."""
        if not self.choices:
            return self.place(value)
        aside = (number * _GOLDEN) % 1 - 0.5  # the golden ratio fills a gap evenly
        return self.place(value) + aside * _SPREAD / len(self.choices)


def choose_style(metric: str) -> NumberStyle:
    """Return how the values of a metric are written: percent, with a thousands letter, or plain."""
    known = KNOWN_METRICS.get(metric)
    unit = known.unit if known is not None else ""
    return {"fraction": NumberStyle.PERCENT, "count": NumberStyle.COUNT}.get(
        unit, NumberStyle.PLAIN
    )


def build_scales(parameters: Sequence[Parameter]) -> dict[str, ParameterScale]:
    """Return the scale of each parameter, by its name."""
    short = _shorten([parameter.name for parameter in parameters])
    return {parameter.name: _build_scale(parameter, short) for parameter in parameters}


def _shorten(names: Sequence[str]) -> dict[str, str]:
    """Return each path's last word, or the whole path where two end alike."""
    last = {name: name.rpartition(".")[2] for name in names}
    ends = list(last.values())
    return {name: word if ends.count(word) == 1 else name for name, word in last.items()}


def _build_scale(parameter: Parameter, short: dict[str, str]) -> ParameterScale:
    name, title, space = parameter.name, short[parameter.name], parameter.search_space
    if space.categorical is not None:
        choices = space.categorical.choices
        return ParameterScale(name, Axis(title, tuple(_tick_choices(choices))), choices)
    span = space.log_uniform or space.uniform
    if span is None:
        raise ValueError(f"search space of {name} must have a kind but has none")
    is_log = space.log_uniform is not None
    ticks = _log_ticks(span.min, span.max) if is_log else round_ticks(span.min, span.max)
    axis = Axis(
        title,
        tuple(
            Tick(
                _share(tick, span.min, span.max, is_log=is_log),
                label_number(tick, NumberStyle.PLAIN),
            )
            for tick in ticks
            if span.type is NumberType.FLOAT or float(tick).is_integer()
        ),
    )
    return ParameterScale(name, axis, low=span.min, high=span.max, is_log=is_log)


def _tick_choices(choices: Sequence[Scalar]) -> Iterator[Tick]:
    every = math.ceil(len(choices) / _CHOICES)
    for index in range(0, len(choices), every):
        text = render_scalar(choices[index])
        label = text if len(text) <= _LABEL else text[: _LABEL - 1] + "…"
        yield Tick((index + 0.5) / len(choices), label)


def _share(value: float, low: float, high: float, *, is_log: bool) -> float:
    value = min(max(value, low), high)
    if is_log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    if high <= low:  # the logarithms of two neighbours may be equal
        return 0.5
    return (value - low) / (high - low)


def make_value_axis(metric: str, limits: ValueRange) -> Axis:
    """Return the axis of an objective.

    Args:
        metric: Its name.
        limits: The ends of the axis.
    """
    low, high = limits.domain
    style = choose_style(metric)
    ticks = (Tick(limits.share(tick), label_number(tick, style)) for tick in round_ticks(low, high))
    return Axis(metric, tuple(ticks))


def _log_ticks(low: float, high: float) -> list[float]:
    """Return the powers of ten from low to high, or finer steps where they are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        ticks = [float(f"{factor}e{power}") for power, factor in itertools.product(powers, factors)]
        inside = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(inside) >= _FEWEST:
            return inside[:: math.ceil(len(inside) / (2 * _TICKS))]
    return round_ticks(low, high)
