"""What is said of a trial in words, in the report and on the terminal. Pure.

Called by `search_view` and by the command line's lines of events.
"""

from collections.abc import Iterator

from trimtab_api.reports import TrialReport
from trimtab_api.v1alpha1.status import TrialState
from trimtab_api.wording import render_metric

__all__ = ["count_things", "describe_violations", "name_state"]


def name_state(trial: TrialReport) -> str:
    """Return how a trial ended, such as `succeeded` or `stopped early after 3 epochs`."""
    match trial.state:
        case TrialState.STOPPED:
            return f"stopped early after {count_things(len(trial.intermediate), 'epoch')}"
        case TrialState.CACHED:
            return "earlier job"
        case _:
            return trial.state.lower()


def describe_violations(trial: TrialReport) -> Iterator[str]:
    """Yield each limit that a trial is past, and by how much: `params max 2000 by 1.2 k`."""
    for name, excess in trial.violations.items():
        metric = name.partition(" ")[0].partition("@")[0]
        yield f"{name} by {render_metric(metric, excess)}"


def count_things(number: int, thing: str) -> str:
    """Return a number and what it counts: `1 epoch`, `3 epochs`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
