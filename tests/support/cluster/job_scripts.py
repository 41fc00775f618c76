"""What happens to a job from its creation to its end, as scripts: the scenarios of crash points.

A script acts as a user and waits for what the cluster shows, never for time, so it goes the same way
however often the operator is killed on it.
"""

from collections.abc import Callable

from cluster.played_ray import PlayedRay
from cluster.watched_job import make_job

__all__ = ["SCRIPTS", "JobGoneError", "NotReachedError", "Script"]

Script = Callable[[PlayedRay], None]


class JobGoneError(Exception):
    """The job was deleted under the script."""


class NotReachedError(AssertionError):
    """The job did not come to where a script waits for it."""


def create_and_finish(ray: PlayedRay) -> None:
    """One attempt, from the manifest to the result."""
    _create(ray)
    _run(ray, attempt=1)
    ray.trials = 2
    _expect(ray, "two trials", lambda: _count_trials(ray) == 2)
    _finish(ray, trials=4)


def suspend_and_resume(ray: PlayedRay) -> None:
    """Stopped in the middle, and finished by a second attempt."""
    _create(ray)
    _run(ray, attempt=1)
    ray.edit(suspend=True)
    _expect(ray, "suspended", lambda: ray.says("Suspended") == "True/SuspendedBySpec")
    ray.edit(suspend=False)
    _run(ray, attempt=2)
    _finish(ray, trials=4)


def edit_spec(ray: PlayedRay) -> None:
    """Edits for the next attempt, for the driver that runs, and of a job that is done."""
    ray.starts = False
    _create(ray)
    _expect(ray, "an attempt that starts", lambda: _is_at(ray, "Starting", 1))
    ray.edit(cluster={"image": "trimtab-trainer:other"})
    _expect(ray, "another attempt", lambda: _is_at(ray, "Starting", 2))
    ray.starts = True
    _run(ray, attempt=2)
    ray.edit(stages={"search": {"numTrials": 6, "parallelTrials": 1}})
    _expect(ray, "the edit in control.json", lambda: ray.told.get("numTrials") == 6)
    _finish(ray, trials=6)
    ray.succeeds = False
    ray.edit(stages={"search": {"numTrials": 8}})
    _run(ray, attempt=3)
    _finish(ray, trials=8)


def create_and_delete(ray: PlayedRay) -> None:
    """Deleted while the driver runs."""
    _create(ray)
    _run(ray, attempt=1)
    ray.delete_job()


SCRIPTS: dict[str, Script] = {
    "create and finish": create_and_finish,
    "suspend and resume": suspend_and_resume,
    "delete": create_and_delete,
    "edit": edit_spec,
}


def _create(ray: PlayedRay) -> None:
    ray.cluster.api.create(make_job(ray.namespace, ray.job))


def _run(ray: PlayedRay, attempt: int) -> None:
    _expect(ray, f"attempt {attempt} that runs", lambda: _is_at(ray, "Running", attempt))


def _finish(ray: PlayedRay, trials: int) -> None:
    ray.succeeds = True
    done = "True/Finished"
    _expect(ray, "a result", lambda: ray.says("Complete") == done and _count_trials(ray) == trials)


def _is_at(ray: PlayedRay, state: str, attempt: int) -> bool:
    status = ray.read_status()
    return (status.get("state"), status.get("attempt")) == (state, attempt)


def _count_trials(ray: PlayedRay) -> int:
    return int(ray.read_status().get("trials", {}).get("succeeded", 0))


def _expect(ray: PlayedRay, what: str, is_true: Callable[[], bool]) -> None:
    came = ray.wait(lambda: ray.deleted or is_true())
    if ray.deleted:
        raise JobGoneError(ray.namespace)
    if not came:
        raise NotReachedError(f"{ray.namespace}: {what} did not come: {ray.read_status()}")
