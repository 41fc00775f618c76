"""Figures in words: a metric with its unit, a difference, a time, and what a verdict is called.

The terminal and the HTML report both call it, so that one run reads alike in both.
"""

from collections.abc import Callable
from functools import partial

from trimtab_api.metrics import KNOWN_METRICS
from trimtab_api.reports import CandidateReport, ChoiceOutcome
from trimtab_api.v1alpha1.goals import Direction

__all__ = [
    "describe_difference",
    "name_outcome",
    "name_rejection",
    "render_change",
    "render_count",
    "render_distance",
    "render_metric",
    "render_scalar",
    "render_seconds",
    "render_share",
    "render_times",
]

_DASH = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"
_TIMES = "\N{MULTIPLICATION SIGN}"
_MINUTE = 60
_HOUR = 3600
_THOUSAND = 1000
_THOUSANDS = ("", " k", " M", " G", " T")
# A difference below this share has no figure; from this factor on it is given as one.
_VISIBLE = 0.005
_DOUBLE = 2
_OUTCOMES = {
    ChoiceOutcome.SHIPS: "ships",
    ChoiceOutcome.FEASIBLE: "feasible",
    ChoiceOutcome.OVER_LIMIT: "over the limit",
    ChoiceOutcome.REJECTED: "rejected",
    ChoiceOutcome.UNMEASURED: "not measured",
    ChoiceOutcome.UNBUILT: "not built",
}
_COMPARISONS = {
    "size_mib": ("smaller", "larger", "as large"),
    "size_compressed_mib": ("smaller compressed", "larger compressed", "as large compressed"),
    "latency_p50_ms": ("faster", "slower", "as fast"),
    "latency_p95_ms": ("faster at p95", "slower at p95", "as fast at p95"),
    "throughput_per_s": ("faster", "slower", "as fast"),
}


def render_metric(metric: str, value: float | None) -> str:
    """Return a metric's value as people read it; a dash where there is none.

    Args:
        metric: Its name without a target; one that is not known has no unit.
        value: In the metric's unit; fractions become percent.
    """
    if value is None:
        return _DASH
    known = KNOWN_METRICS.get(metric)
    unit = known.unit if known is not None else ""
    text = _RENDERERS.get(unit, partial(_render_measure, unit=unit))(value)
    return _MINUS + text[1:] if text.startswith("-") else text


def render_change(metric: str, change: float | None) -> str:
    """Return by how much a metric differs from the baseline's, with its sign.

    Args:
        metric: Its name without a target.
        change: Value less the baseline's value; a dash where there is none.
    """
    if change is None:
        return _DASH
    known = KNOWN_METRICS.get(metric)
    if known is not None and known.unit == "fraction":
        return _with_sign(f"{100 * change:+.2f}") + " points"
    return _with_sign(f"{change:+.4g}")


def render_distance(metric: str, value: float) -> str:
    """Return how far two values of a metric are apart: `0.40 points`.

    Args:
        metric: Its name without a target.
        value: In the metric's unit; those of fractions are given in points.
    """
    known = KNOWN_METRICS.get(metric)
    is_share = known is not None and known.unit == "fraction"
    text = f"{100 * value:.2f} points" if is_share else f"{value:.4g}"
    return text.replace("-", _MINUS, 1)


def _with_sign(text: str) -> str:
    if float(text) == 0:
        return "±0"
    return text.replace("-", _MINUS, 1)


def describe_difference(metric: str, value: float, reference: float) -> str:
    """Return how a size or a speed differs from another: `12 % slower`, `3.9× smaller`.

    Args:
        metric: `size_mib`, `size_compressed_mib`, `latency_p50_ms`, `latency_p95_ms` or
            `throughput_per_s`.
        value: In the metric's unit, above 0.
        reference: What it is compared with, above 0.

    Raises:
        KeyError: It is another metric.
    """
    better, worse, equal = _COMPARISONS[metric]
    known = KNOWN_METRICS[metric]
    gain = value / reference if known.direction is Direction.MAXIMIZE else reference / value
    word, factor = (better, gain) if gain > 1 else (worse, 1 / gain)
    if factor == 1:
        return equal
    if factor < 1 + _VISIBLE:
        return f"less than {100 * _VISIBLE:g} % {word}"
    if factor >= _DOUBLE:
        return f"{render_times(factor)} {word}"
    # 10 ms after 8 ms is 25 % slower, 8 MiB after 10 MiB is 20 % smaller.
    percent = 100 * (abs(value / reference - 1) if known.unit == "MiB" else factor - 1)
    return f"{percent:.0f} % {word}" if percent >= 1 else f"{percent:.1f} % {word}"


def name_outcome(outcome: ChoiceOutcome) -> str:
    """Return in a word or three what became of a candidate for a target."""
    return _OUTCOMES[outcome]


def name_rejection(candidate: CandidateReport) -> str:
    """Return what keeps a candidate from shipping while no target has picked; empty if nothing."""
    rejection = candidate.rejection
    return "" if rejection is None else name_outcome(rejection)


def render_count(value: float) -> str:
    """Return a count with three digits and a thousands letter: `11.2 M`."""
    index = 0
    while abs(value) >= _THOUSAND and index < len(_THOUSANDS) - 1:
        value, index = value / _THOUSAND, index + 1
    return f"{value:.3g}{_THOUSANDS[index]}" if index else f"{value:.0f}"


def render_times(value: float) -> str:
    """Return a ratio as a factor: 2.71 and a multiplication sign."""
    return f"{value:.3g}{_TIMES}"


def render_share(value: float, *, digits: int = 0) -> str:
    """Return a share of a whole in percent: `12 %`.

    Args:
        value: 1 is the whole.
        digits: Behind the point.
    """
    return f"{100 * value:.{digits}f} %"


def render_scalar(value: object) -> str:
    """Return a parameter's or a task's own value, numbers with four digits."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def render_seconds(seconds: float) -> str:
    """Return a duration with two units at most: `4.2 s`, `3 min 10 s`, `1 h 02 min`."""
    if seconds < _MINUTE:
        return f"{seconds:.1f} s" if seconds < _MINUTE / 6 else f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02d} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} min"


def _render_measure(value: float, unit: str) -> str:
    return f"{value:#.3g}".rstrip(".") + f" {unit}"


def _render_rate(value: float) -> str:
    return f"{value:,.0f} samples/s" if value >= _THOUSAND else f"{value:.4g} samples/s"


_RENDERERS: dict[str, Callable[[float], str]] = {
    "": render_scalar,
    "nats": render_scalar,
    "fraction": partial(render_share, digits=2),
    "count": render_count,
    "ratio": render_times,
    "1/s": _render_rate,
}
