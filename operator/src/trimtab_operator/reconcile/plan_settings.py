"""The times that the planner goes by.

Made by the operator at its start, and by `trimtab plan`; tests shrink them.
"""

from dataclasses import dataclass

from trimtab_operator.resources.child_settings import ChildSettings

__all__ = ["PlanSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSettings:
    """Defaults of children, and times in seconds."""

    children: ChildSettings
    stalled_after: float = 120.0
    """A driver that reports nothing for so long is called stalled."""
    abandoned_after: float = 600.0
    """One that reports nothing for so long is given up with its attempt."""
    start_patience: float = 120.0
    """How long a placed pod may fail to pull its image or to run its container: its machine is
    held for nothing meanwhile."""
    first_backoff: float = 10.0
    """Pause after the first failed attempt; it doubles with each further one."""
    longest_backoff: float = 300.0
    stop_grace: float = 30.0
    """How long a driver may take to write a checkpoint and to leave Ray."""
    pods_grace: float = 60.0
    """How long pods of an ended attempt are waited for; one on a lost node never goes."""
    kuberay_patience: float = 60.0
    """How long KubeRay may take to look at a RayJob before it is called absent."""
    poll_interval: float = 30.0
    """How soon a job that waits for what no watch shows, such as a claim, is looked at again."""
    look_interval: float = 300.0
    """How soon an attempt that goes on is looked at again where neither an event nor one of these
    times calls for it."""
