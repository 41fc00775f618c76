"""The driver of one attempt in a cluster: from the mounted manifest to an outcome.

Started by `python -m trimtab_trainer drive` on the head of the attempt's Ray cluster. It raises the
fence, takes over what the attempt before finished, and runs the same stages as a local run. How it
ends is told by the report, because a Ray job shows no exit code; nothing is retried here.
"""

import logging
from collections.abc import Callable
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import TypeVar

from trimtab_api.fingerprint import fingerprint_job
from trimtab_api.progress import Outcome, OutcomeResult
from trimtab_api.reports import RunReport
from trimtab_api.texts import shorten
from trimtab_api.v1alpha1.conditions import ConditionType, FailedReason
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_api.v1alpha1.status import Status
from trimtab_trainer.cluster_pod import PodSettings
from trimtab_trainer.context import RunContext
from trimtab_trainer.errors import (
    EnvironmentMissingError,
    FencedError,
    RunStoppedError,
    TrainerError,
)
from trimtab_trainer.execution.ray_session import join_cluster, leave_cluster
from trimtab_trainer.pipeline import count_slots, run_stages
from trimtab_trainer.reporting.kubernetes import KubernetesReporter
from trimtab_trainer.stages._trouble import TroubleWatch
from trimtab_trainer.storage.patience import patiently
from trimtab_trainer.storage.run_folder import enter_attempt
from trimtab_trainer.supervision import Snapshot

__all__ = ["DriverExit", "drive"]

_LOG = logging.getLogger(__name__)

_DRIVER = "driver"

ResultT = TypeVar("ResultT")


class DriverExit(IntEnum):
    """Exit codes, for people who read logs."""

    DONE = 0
    """It did its part, or was asked to stop."""
    FAILED = 4
    """The job failed; the report tells why."""
    FENCED = 6
    """A later attempt has begun."""


def drive(job: OptimizationJob, settings: PodSettings, reporter: KubernetesReporter) -> DriverExit:
    """Run an attempt and report how it ended.

    Args:
        job: A valid job.
        settings: Which attempt it is, and where it works.
        reporter: Of this attempt.
    """
    try:
        outcome = _run(job, settings, reporter)
    except FencedError as error:
        _LOG.warning("%s", error)
        reporter.abandon()
        return DriverExit.FENCED
    reporter.end(outcome)
    return DriverExit.FAILED if outcome.result is OutcomeResult.FAILED else DriverExit.DONE


def _run(job: OptimizationJob, settings: PodSettings, reporter: KubernetesReporter) -> Outcome:
    """Return how the attempt ended.

    Raises:
        FencedError: A later attempt has begun.
    """
    try:
        return _judge(_run_attempt(job, settings, reporter))
    except RunStoppedError as error:
        return Outcome(result=OutcomeResult.STOPPED, message=shorten(str(error)))
    except EnvironmentMissingError as error:
        # Another cluster may have what this one lacks.
        return _failed(str(error), None)
    except TrainerError as error:
        return _failed(str(error), error.reason)
    except PermissionError as error:
        return _failed(f"storage refuses: {error}", FailedReason.USER_ERROR)
    except OSError as error:
        return _failed(f"storage does not work: {error}", None)


def _failed(message: str, reason: FailedReason | None) -> Outcome:
    return Outcome(result=OutcomeResult.FAILED, reason=reason, message=shorten(message))


def _judge(report: RunReport) -> Outcome:
    for condition in report.status.conditions:
        if condition.type is ConditionType.FAILED and condition.status == "True":
            return _failed(condition.message, FailedReason(condition.reason))
    return Outcome(result=OutcomeResult.SUCCEEDED, message=report.status.message or "")


def _run_attempt(
    job: OptimizationJob, settings: PodSettings, reporter: KubernetesReporter
) -> RunReport:
    root = _wait_for_storage(partial(_enter, job, settings), reporter)
    slots, workers = count_slots(job.spec)
    machines = join_cluster(job.spec.cluster.workers.replicas or slots * workers)
    try:
        context = RunContext(
            name=job.metadata.name,
            fingerprint=fingerprint_job(job),
            attempt=settings.attempt,
            root=root,
            code_dir=None,
            data_root=settings.place.data_root,
            cores=machines.cores,
            machines=machines.count,
            is_local=False,
        )
        return run_stages(
            job,
            context,
            reporter=reporter,
            supervisor=reporter,
            open_storage=settings.place.open,
            machines=machines,
        )
    finally:
        leave_cluster()


def _enter(job: OptimizationJob, settings: PodSettings) -> Path:
    """Shut out earlier attempts, take over what they finished, and return this one's folder."""
    storage = settings.place.open()
    storage.attach()
    storage.raise_fence(settings.attempt)
    root = storage.open_attempt(settings.attempt)
    enter_attempt(
        root,
        name=job.metadata.name,
        fingerprint=fingerprint_job(job),
        spec=job.spec,
        attempt=settings.attempt,
    )
    return root


def _wait_for_storage(begin: Callable[[], ResultT], reporter: KubernetesReporter) -> ResultT:
    """Begin once storage takes it; until then the report says what is waited for.

    Raises:
        RunStoppedError: The attempt is to end.
        OSError: One that does not pass by itself.
    """
    watch = TroubleWatch(reporter)
    steps = patiently(begin)
    while True:
        try:
            trouble = next(steps)
        except StopIteration as end:
            watch.clear(_DRIVER)
            begun: ResultT = end.value
            return begun
        watch.note(trouble, _DRIVER)
        if reporter.ask(lambda: Snapshot(Status())).stop:
            raise RunStoppedError("the attempt was asked to stop before it began")
