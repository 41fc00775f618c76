"""The metrics that Trimtab itself knows: where each comes from, and which way is better.

A task's own metric is not listed; its direction is that of its objective.
"""

from dataclasses import dataclass
from enum import StrEnum

from trimtab_api.v1alpha1.goals import Direction

__all__ = [
    "KNOWN_METRICS",
    "TRIAL_METRICS",
    "KnownMetric",
    "MetricScope",
    "metric_key",
    "round_figure",
]


class MetricScope(StrEnum):
    """Where a metric comes from."""

    VALIDATION = "validation"
    """Evaluated on the validation split."""
    STATIC = "static"
    """Counted on the network, known before training."""
    TARGET = "target"
    """Measured on a target, from the exported file."""


@dataclass(frozen=True, slots=True)
class KnownMetric:
    """One metric of the catalogue."""

    scope: MetricScope
    direction: Direction
    unit: str
    meaning: str


def _validation(direction: Direction, unit: str, meaning: str) -> KnownMetric:
    return KnownMetric(MetricScope.VALIDATION, direction, unit, meaning)


def _target(direction: Direction, unit: str, meaning: str) -> KnownMetric:
    return KnownMetric(MetricScope.TARGET, direction, unit, meaning)


KNOWN_METRICS: dict[str, KnownMetric] = {
    "accuracy": _validation(Direction.MAXIMIZE, "fraction", "share of samples classified right"),
    "top5_accuracy": _validation(
        Direction.MAXIMIZE, "fraction", "share of samples whose class is among the first five"
    ),
    "loss": _validation(Direction.MINIMIZE, "nats", "mean loss"),
    "params": KnownMetric(
        MetricScope.STATIC, Direction.MINIMIZE, "count", "parameters of the network"
    ),
    "flops": KnownMetric(
        MetricScope.STATIC, Direction.MINIMIZE, "count", "FLOPs of one sample, two per MAC"
    ),
    "sparsity": KnownMetric(
        MetricScope.STATIC, Direction.MAXIMIZE, "fraction", "share of the weights that are zero"
    ),
    "size_mib": _target(Direction.MINIMIZE, "MiB", "size of the artifact"),
    "size_compressed_mib": _target(
        Direction.MINIMIZE, "MiB", "size of the artifact compressed by zstd"
    ),
    "latency_p50_ms": _target(Direction.MINIMIZE, "ms", "median time of one inference"),
    "latency_p95_ms": _target(
        Direction.MINIMIZE, "ms", "95th percentile of the time of one inference"
    ),
    "throughput_per_s": _target(
        Direction.MAXIMIZE, "1/s", "samples per second of the median inference"
    ),
    "memory_mib": _target(
        Direction.MINIMIZE, "MiB", "peak memory of a fresh process that runs the model"
    ),
    "speedup": _target(Direction.MAXIMIZE, "ratio", "p50 of the baseline over its own"),
}
"""By name."""

TRIAL_METRICS: tuple[str, ...] = tuple(
    name
    for name, known in KNOWN_METRICS.items()
    if known.scope is not MetricScope.TARGET and name != "sparsity"
)
"""What a trial can tell; zeros come only with pruning."""


def round_figure(value: float) -> float:
    """Return a figure with six digits, which is more than measurements repeat."""
    return float(f"{value:.6g}")


def metric_key(metric: str, target: str | None = None) -> str:
    """Return the key under which a metric stands in metric maps: `metric` or `metric@target`."""
    return metric if target is None else f"{metric}@{target}"
