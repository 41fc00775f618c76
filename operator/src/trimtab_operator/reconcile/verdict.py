"""What the planner found: the phase of a job, and everything the status says of it besides figures.

Made by `guards` and `phases`, carried by the plan, turned into conditions by `status`. Phases are
the operator's own words; `state` and the conditions are what people and programs see.
"""

from dataclasses import dataclass
from enum import StrEnum

from trimtab_api.v1alpha1.conditions import (
    AcceptedReason,
    DegradedReason,
    FailedReason,
)
from trimtab_operator.reconcile.actions import Action
from trimtab_operator.reconcile.attempts import AttemptEnd, AttemptRecord

__all__ = ["Acceptance", "Phase", "Plan", "Problem", "Refusal", "Verdict"]


class Phase(StrEnum):
    """Where a job is, exactly one at a time."""

    IGNORED = "Ignored"
    """Deleting, paused or another's: nothing is done and nothing is said."""
    REJECTED = "Rejected"
    """Its manifest cannot run here."""
    BLOCKED = "Blocked"
    """Something outside the job must change first: KubeRay, or the owner of a name."""
    SUSPENDED = "Suspended"
    """It was told to hold no machines."""
    STOPPING = "Stopping"
    """An attempt is over and what is left of it is being cleared."""
    WAITING = "Waiting"
    """The next attempt starts after a pause."""
    STARTING = "Starting"
    """An attempt was made and its workers are not ready."""
    HELD = "Held"
    """A queue holds the attempt back."""
    RUNNING = "Running"
    """The driver runs."""
    MEASURING = "Measuring"
    """The Jobs of placed targets measure."""
    COMPLETE = "Complete"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a job is degraded."""

    reason: DegradedReason
    message: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API server does not take a child, and will not take it while the manifest is as it is."""

    message: str
    """With the server's words."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Whether the manifest can run here."""

    reason: AcceptedReason
    message: str = ""

    @property
    def accepted(self) -> bool:
        """Return whether it can."""
        return self.reason is AcceptedReason.SPEC_ACCEPTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Where a job is and why."""

    phase: Phase
    acceptance: Acceptance
    attempt: int = 0
    """The latest attempt; 0 before the first."""
    message: str = ""
    """For people, where the phase needs words."""
    failure: FailedReason | None = None
    """With phase FAILED."""
    problem: Problem | None = None
    end: AttemptEnd | None = None
    """How the latest attempt ended; None while it goes on."""
    record: AttemptRecord | None = None
    """What is remembered of the attempt; None where nothing is known of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now, what it means, and when to look again."""

    actions: tuple[Action, ...]
    """In order; each needs those before it."""
    verdict: Verdict
    requeue_after: float | None
    """Seconds; None where only an event can change the plan."""
