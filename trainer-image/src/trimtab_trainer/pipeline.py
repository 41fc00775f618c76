"""The stages in order: what `trimtab run` and the driver in a cluster do with a valid job.

`run_job` is the local run: it opens the run folder and starts a Ray of its own. `run_stages` is
what both share: it runs each stage whose stored result does not match its inputs, and keeps the
report current. What a stage does is the stage's; what ends the job is decided here.
"""

import os
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trimtab_api.fingerprint import fingerprint_job
from trimtab_api.reports import RunReport
from trimtab_api.stages import StageName, StageState
from trimtab_api.v1alpha1.conditions import ConditionType, FailedReason
from trimtab_api.v1alpha1.job import OptimizationJob, Spec
from trimtab_api.v1alpha1.runtime import Device
from trimtab_api.wording import render_distance
from trimtab_trainer.context import RunContext
from trimtab_trainer.data.user_code import check_code_dir
from trimtab_trainer.errors import FencedError, RunStoppedError, TrainerError, UserError
from trimtab_trainer.execution._base import AbstractExecutor
from trimtab_trainer.execution.ray_actors import RayExecutor
from trimtab_trainer.execution.shares import Machines, count_gpus, share_cores
from trimtab_trainer.journal import Journal
from trimtab_trainer.preflight import run_preflight
from trimtab_trainer.reporting._base import AbstractReporter, RunResumed, RunStarted
from trimtab_trainer.stages._base import AbstractStage, Run
from trimtab_trainer.stages._baseline import Baseline
from trimtab_trainer.stages._bench import Bench
from trimtab_trainer.stages.registry import STAGES
from trimtab_trainer.stages.search import read_trials
from trimtab_trainer.storage._base import AbstractRunStorage
from trimtab_trainer.storage.filesystem import read_json
from trimtab_trainer.storage.run_folder import clear_folder, enter_attempt, lock_folder
from trimtab_trainer.supervision import AbstractSupervisor, NobodyWatches

__all__ = ["count_slots", "run_job", "run_stages"]


def run_job(
    job: OptimizationJob,
    *,
    folder: Path,
    code_dir: Path,
    data_root: Path,
    fresh: bool,
    reporter: AbstractReporter,
) -> RunReport:
    """Run a job to its end, or go on where an earlier start was stopped.

    A finished folder is not run again: its report is returned. A failed job gives a report with
    condition Failed.

    Args:
        job: A valid job.
        folder: The run folder; made if needed.
        code_dir: Where user code is imported from: the manifest's folder.
        data_root: Where `pvc://claim/path` lies, as `<data_root>/claim/path`.
        fresh: Forget an earlier run in the folder.
        reporter: Who listens.

    Raises:
        StudyMismatchError: The folder belongs to another study, which has results.
        UserError: The folder cannot be used, a module of the user hides one that is needed, or
            there are too few GPUs for the workers of a trial.
        EnvironmentMissingError: Ray cannot start here.
        KeyboardInterrupt: Passed on; what is finished is stored.
    """
    root = folder.resolve()
    fingerprint = fingerprint_job(job)
    if _has_user_code(job.spec):
        check_code_dir(code_dir.resolve())
    with lock_folder(root):
        if fresh:
            clear_folder(root)
        finished = _find_finished(root, fingerprint)
        is_same = finished is not None and finished.manifest == _dump_spec(job)
        if finished is not None and is_same and not _has_failed_stage(finished):
            return finished
        context = RunContext(
            name=job.metadata.name,
            fingerprint=fingerprint,
            attempt=enter_attempt(
                root, name=job.metadata.name, fingerprint=fingerprint, spec=job.spec
            ),
            root=root,
            code_dir=code_dir.resolve(),
            data_root=data_root.resolve(),
            cores=len(os.sched_getaffinity(0)),
        )
        # Fields that may change at once, such as numTrials, are not in the fingerprint.
        extends = finished is not None and not is_same
        return run_stages(job, context, reporter=reporter, extends=extends)


def _has_failed_stage(report: RunReport) -> bool:
    """Return whether a stage is to be tried again although the job is complete."""
    return any(stage.state is StageState.FAILED for stage in report.status.stages)


def _has_user_code(spec: Spec) -> bool:
    return any(part.entrypoint is not None for part in (spec.model, spec.dataset, spec.task))


def _dump_spec(job: OptimizationJob) -> dict[str, Any]:
    return job.spec.model_dump(mode="json", by_alias=True, exclude_none=True)


def _find_finished(root: Path, fingerprint: str) -> RunReport | None:
    document = read_json(root / "report.json")
    if document is None:
        return None
    report = RunReport.model_validate(document)
    complete = any(
        condition.type is ConditionType.COMPLETE and condition.status == "True"
        for condition in report.status.conditions
    )
    result = report.status.result
    if (
        report.fingerprint == fingerprint
        and complete
        and result is not None
        and (root / result.artifact).is_file()
    ):
        return report
    return None


def run_stages(
    job: OptimizationJob,
    context: RunContext,
    *,
    reporter: AbstractReporter,
    supervisor: AbstractSupervisor | None = None,
    open_storage: Callable[[], AbstractRunStorage] | None = None,
    machines: Machines | None = None,
    extends: bool = False,
) -> RunReport:
    """Run all stages of a job in a run folder that this attempt has entered.

    A failed job gives a report with condition Failed. What was never meant to be raised ends a
    local run so, too; in a cluster it passes, because another attempt may fare better.

    Args:
        job: A valid job.
        context: Where and with what.
        reporter: Who listens.
        supervisor: Who says what is wanted while the run goes on.
        open_storage: Gives the storage that all machines of a cluster share, to which this
            process is attached; None where the run folder is on this machine.
        machines: Those of the Ray cluster that this process joined; None starts a local Ray.
        extends: Whether the job was finished before.

    Raises:
        UserError: There are too few GPUs for the workers of a trial.
        EnvironmentMissingError: Ray cannot start here.
        RunStoppedError: The supervisor wanted it; what is finished is stored.
        FencedError: A later attempt has begun; nothing was written since.
        KeyboardInterrupt: Passed on; what is finished is stored.
    """
    reporter.publish(RunStarted())
    with (
        tempfile.TemporaryDirectory(prefix="trimtab-") as cache,
        _start(job, context, _Site(Path(cache), open_storage, machines)) as executor,
    ):
        run = Run(
            context=context,
            job=job,
            executor=executor,
            reporter=reporter,
            supervisor=supervisor or NobodyWatches(),
            check_fence=partial(open_storage().check_fence, context.attempt)
            if open_storage
            else _allow_writes,
        )
        journal = Journal(run, extends=extends)
        with _failures_kept(run, journal):
            if context.attempt > 1:
                run.trials = read_trials(run)
                reporter.publish(RunResumed(len(run.trials), context.attempt))
            run_preflight(run)
            for stage in STAGES:
                _run_stage(run, journal, stage)
                if stage.name is StageName.TRAIN:
                    _run_stored(run, journal, Baseline())
                    _warn_of_noise(run)
            journal.finish()
    return journal.write_report()


def count_slots(spec: Spec) -> tuple[int, int]:
    """Return how many trials run at a time, and how many processes each has."""
    search, train = spec.stages.search, spec.stages.train
    return search.parallel_trials if search else 1, train.num_workers if train else 1


def _allow_writes() -> None:
    """Refuse nothing: the lock of the run folder lets no other run write."""


@dataclass(frozen=True, slots=True)
class _Site:
    """What surrounds the slots."""

    cache: Path
    open_storage: Callable[[], AbstractRunStorage] | None
    machines: Machines | None


def _start(job: OptimizationJob, context: RunContext, site: _Site) -> AbstractExecutor:
    """Start the slots: one for each trial at a time, each of as many processes as a trial has."""
    slots, workers = count_slots(job.spec)
    machines = site.machines
    gpus = count_gpus() if machines is None else machines.count * machines.gpus
    if job.spec.cluster.device is Device.CPU:
        gpus = 0
    if workers > 1 and 0 < gpus < slots * workers:
        raise UserError(
            f"train.numWorkers × search.parallelTrials must be at most the number of GPUs, {gpus},"
            f" because each worker of a trial needs its own, but is {slots * workers}"
        )
    return RayExecutor(
        slots=slots,
        workers_per_slot=workers,
        make_bench=partial(
            _open_bench,
            site.open_storage,
            code_dir=context.code_dir,
            data_root=context.data_root,
            cache_dir=site.cache,
        ),
        threads_per_slot=workers
        * share_cores(context.cores, context.machines, processes=slots * workers),
        code_dir=context.code_dir if _has_user_code(job.spec) else None,
        gpus=gpus,
        machines=machines,
    )


def _open_bench(
    open_storage: Callable[[], AbstractRunStorage] | None,
    *,
    code_dir: Path | None,
    data_root: Path,
    cache_dir: Path,
) -> Bench:
    """Make what a slot works with; runs in its process."""
    if open_storage is not None:
        open_storage().attach()
    return Bench(code_dir=code_dir, data_root=data_root, cache_dir=cache_dir)


@contextmanager
def _failures_kept(run: Run, journal: Journal) -> Iterator[None]:
    """Turn an error that ends the job into its condition; store what is finished on Ctrl-C."""
    try:
        yield
    except TrainerError as error:
        journal.fail(error.reason, str(error))
    except (KeyboardInterrupt, RunStoppedError):
        journal.write_report()
        raise
    except FencedError:
        raise
    except Exception as error:
        run.keep_traceback("driver", "".join(traceback.format_exception(error)))
        if not run.context.is_local:
            raise
        journal.fail(
            FailedReason.USER_ERROR,
            f"unexpected {type(error).__name__}: {error}; see logs/driver.log",
        )


def _run_stage(run: Run, journal: Journal, stage: AbstractStage) -> None:
    inputs = stage.inputs(run)
    if inputs is None:
        journal.skip(stage.name)
        return
    _run_stored(run, journal, stage)


def _run_stored(run: Run, journal: Journal, stage: AbstractStage) -> None:
    """Restore a stage's result where its inputs and files are the same, else run it."""
    stored = journal.find_valid(stage)
    if stored is not None:
        stage.restore(run, stored.data)
        journal.reuse(stage, stored)
        return
    journal.start(stage)
    try:
        result = stage.run(run)
    except TrainerError as error:
        journal.stage_failed(stage, error)
        raise
    journal.end(stage, result)


def _warn_of_noise(run: Run) -> None:
    ledger = run.require_ledger()
    if ledger.allowed is not None and ledger.is_noise:
        show = partial(render_distance, run.job.spec.objectives[0].metric)
        run.warn(
            f"BudgetBelowNoise: the budget of {show(ledger.allowed)} is less than two samples of"
            f" the validation split ({show(ledger.resolution)} each): such a gate is noise"
        )
