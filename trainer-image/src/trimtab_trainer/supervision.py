"""Who watches over a run from outside: hears what it achieved so far, says what is wanted now.

The run asks every few seconds, between pieces of work, and obeys. In a cluster the reporter answers
from what the operator wrote; locally nobody watches.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

from typing_extensions import override

from trimtab_api.margins import LimitMargin
from trimtab_api.progress import GpuSaving
from trimtab_api.reports import CandidateReport, TrialReport
from trimtab_api.v1alpha1.status import Status, TargetStatus

__all__ = ["PULSE_SECONDS", "AbstractSupervisor", "NobodyWatches", "Snapshot", "Wishes"]

PULSE_SECONDS = 5.0
"""A run that waits for its work asks at least so often."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is wanted of a run now; None = as its manifest says."""

    num_trials: int | None = None
    """Trials of the search in all."""
    parallel_trials: int | None = None
    """Trials at a time; more than the run has slots for count as all of them."""
    stop: bool = False
    """Whether the run is to end; what is finished is kept."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a run knows at one moment."""

    status: Status
    trials: Sequence[TrialReport] = ()
    """Every ended trial."""
    candidates: Sequence[CandidateReport] = ()
    """Every exported model."""
    measured: Sequence[TargetStatus] = ()
    """Where targets got their final figures; empty before that."""
    margins: Sequence[LimitMargin] = ()
    """Of what would ship now for each target that is measured here."""
    hypervolume: float | None = None
    """Quality of the Pareto front."""
    gpu_saved: Mapping[GpuSaving, float] = field(default_factory=dict)
    """Seconds of one GPU that were not needed."""


class AbstractSupervisor(ABC):
    """Called from the run's one thread; it never raises and returns at once."""

    @abstractmethod
    def ask(self, look: Callable[[], Snapshot]) -> Wishes:
        """Return what is wanted now. Being asked is also the sign that the run is alive.

        Args:
            look: Gives what the run knows; called at once or not at all.
        """


@final
class NobodyWatches(AbstractSupervisor):
    """For a run whose manifest is all there is to obey."""

    @override
    def ask(self, look: Callable[[], Snapshot]) -> Wishes:
        return Wishes()
