"""What a search knows before its first trial: results of an earlier job.

Called by stage search. The results are copied into the run folder at its first start, so that a
later start proposes the same trials, whatever becomes of the earlier job.
"""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trimtab_api.reports import TrialReport
from trimtab_api.v1alpha1.status import TrialState
from trimtab_trainer.errors import TrainerError, UserError
from trimtab_trainer.search.records import TrialRecord
from trimtab_trainer.stages._base import Run
from trimtab_trainer.storage._base import list_attempts
from trimtab_trainer.storage.filesystem import list_folders, read_json, write_json
from trimtab_trainer.storage.trial_log import find_newest_log, read_any_log

__all__ = ["WARM_START", "find_known_trials"]

WARM_START = "warm-start.json"
"""File of the run folder with the results that were copied."""


def find_known_trials(run: Run) -> list[TrialReport]:
    """Return the succeeded trials of the job that `warmStart.fromJob` names, none without it.

    Raises:
        UserError: There is no such job beside this run, or its trial log cannot be read.
    """
    search = run.spec.stages.search
    if search is None or search.warm_start.from_job is None:
        return []
    path = run.context.root / WARM_START
    stored = read_json(path)
    if stored is None:
        trials = _copy_trials(run, search.warm_start.from_job)
        document = [trial.model_dump(mode="json", by_alias=True) for trial in trials]
        run.store(lambda: write_json(path, document))
        return trials
    return _parse(stored)


def _parse(document: Any) -> list[TrialReport]:
    try:
        return [TrialReport.model_validate(entry) for entry in document]
    except (TypeError, ValidationError) as error:
        raise UserError(
            f"{WARM_START} must hold trials of an earlier job but: {error}; start over with --fresh"
        ) from error


def _find_log(run: Run, job: str) -> Path | None:
    """Return the newest trial log of a job; in a cluster it may have had several attempts."""
    root = run.context.root
    if run.context.is_local:
        return find_newest_log([[root.parent / job]])
    jobs = list_folders(root.parents[2] / job)  # those that had this name one after another
    return find_newest_log(list_attempts(list_folders(each)) for each in jobs)


def _copy_trials(run: Run, job: str) -> list[TrialReport]:
    log = run.load(lambda: _find_log(run, job))
    if log is None or log.parent == run.context.root:
        raise UserError(
            f"search.warmStart.fromJob must name an earlier job whose folder lies beside this"
            f" one's but {job} has no trial log of its own there"
        )
    try:
        trials = [
            TrialRecord.from_json(record).trial for record in run.load(lambda: read_any_log(log))
        ]
    except TrainerError as error:
        raise UserError(f"search.warmStart.fromJob {job}: {error}") from error
    return [
        trial.model_copy(update={"state": TrialState.CACHED, "intermediate": ()})
        for trial in trials
        if trial.state is TrialState.SUCCEEDED
    ]
