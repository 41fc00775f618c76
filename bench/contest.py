"""Files that compete: each with its size, its time and what it keeps of the accuracy.

Used by the benchmark of compression for trained networks and for post-training quantization. Who
is the best rival is decided here, from figures only.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from trimtab_trainer.benchmarking.latency import measure
from trimtab_trainer.exporting.artifact import describe_file

__all__ = [
    "BY_HAND",
    "DEFAULT",
    "FP32",
    "OURS",
    "Cost",
    "Entry",
    "Stopwatch",
    "find_best",
    "loses_at_most",
    "measure_costs",
]

FP32 = "fp32"
OURS = "trimtab"
DEFAULT = "ONNX Runtime's default"
BY_HAND = "U8S8 per channel by hand"

_WARMUP = 50
_LIMIT_SECONDS = 600.0
# Two shares of the same samples differ by float rounding only below this.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Cost:
    """What a file takes."""

    size_mib: float
    latency_ms: float
    """Median of the runs of one sample."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the contest."""

    way: str
    """How it was made."""
    cost: Cost
    score: float
    """Share of the samples that decide, 0…1."""
    test_score: float
    """The same on samples that nothing was decided by."""

    @property
    def product(self) -> float:
        """Return size × latency."""
        return self.cost.size_mib * self.cost.latency_ms


@dataclass(slots=True)
class Stopwatch:
    """Where time goes."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, what: str) -> Iterator[None]:
        """Add the seconds of a block to those of its name."""
        start = time.monotonic()
        yield
        self.seconds[what] = self.seconds.get(what, 0.0) + time.monotonic() - start


def measure_costs(files: Mapping[str, Path], *, repeats: int) -> dict[str, Cost]:
    """Size files and time them in turn, in one process with one thread and one sample a run.

    Args:
        files: Paths by way.
        repeats: Timed runs of each.
    """
    measured = measure(
        files,
        threads=1,
        batch_size=1,
        warmup=_WARMUP,
        repeats=repeats,
        timeout_seconds=_LIMIT_SECONDS,
    )
    return {
        way: Cost(describe_file(path).size_mib, measured[way].latency_p50_ms)
        for way, path in files.items()
    }


def loses_at_most(entry: Entry, dense: Entry, max_drop: float) -> bool:
    """Return whether a file is as accurate as asked for."""
    return dense.score - entry.score <= max_drop + _ROUNDING


def find_best(rivals: Sequence[Entry], dense: Entry, max_drop: float) -> Entry:
    """Return the rival of least size × latency among those that are as accurate as asked for.

    The dense file is a rival too, so that there always is one.

    Args:
        rivals: All files but ours and the dense one.
        dense: The float file that all were made from.
        max_drop: What a file may lose against it.
    """
    accurate = [entry for entry in rivals if loses_at_most(entry, dense, max_drop)]
    return min([dense, *accurate], key=lambda entry: entry.product)
