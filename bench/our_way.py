"""Trials as our search runs them: the whole loop over warm slots of Ray, with a trial log on disk.

Called by the overhead benchmark. Only the trial itself is another one, and nobody listens.
"""

import tempfile
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from typing_extensions import override

from bench.sleeping_trial import (
    OBJECTIVE,
    PARAMETERS,
    RATE,
    SHARE,
    Measured,
    RunTrials,
    Stamp,
    sleep_and_score,
)
from trimtab_api.reports import EpochReport, RetryReport, TrialReport
from trimtab_api.v1alpha1.runtime import FailureAction
from trimtab_api.v1alpha1.search import Bayesian, SearchAlgorithm
from trimtab_api.v1alpha1.status import FailureClass
from trimtab_trainer.execution._base import AbstractExecutor, Done, Failure
from trimtab_trainer.execution.ray_actors import RayExecutor
from trimtab_trainer.search.records import TrialRecord
from trimtab_trainer.search.runner import AbstractTrialListener, TrialRunner
from trimtab_trainer.search.space import Point
from trimtab_trainer.search.study import Proposal, Study
from trimtab_trainer.search.trial import run_search
from trimtab_trainer.storage.trial_log import TrialLog

__all__ = ["OURS", "host_ours"]

OURS = "trimtab"

_ROOT = Path(__file__).parents[1]
_SILENCE_SECONDS = 60.0


@contextmanager
def host_ours(workers: int) -> Iterator[Mapping[str, RunTrials]]:
    """Start slots and let each work once, as the preflight of a job does."""
    with RayExecutor(
        slots=workers, make_bench=object, threads_per_slot=1, code_dir=_ROOT
    ) as executor:
        _warm_up(executor)

        def run(trials: int, seconds: float, _: int) -> Measured:
            return _run_search(executor, trials, seconds)

        yield {OURS: run}


def _warm_up(executor: AbstractExecutor) -> None:
    for slot in range(executor.slots):
        executor.submit(slot, _work, rate=0.0, share=0.0, seconds=0.0)
    waiting = executor.slots
    while waiting:
        waiting -= sum(isinstance(event, Done) for event in executor.events())


def _work(
    _: object, *, rate: float, share: float, seconds: float
) -> Generator[EpochReport, None, dict[str, float]]:
    """Sleep for one epoch."""
    result = sleep_and_score(rate, share, seconds)
    yield EpochReport(epoch=1, metrics={"loss": result["loss"]}, seconds=seconds)
    return result


def _run_search(executor: AbstractExecutor, trials: int, seconds: float) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        study = Study(
            PARAMETERS,
            algorithm=SearchAlgorithm(bayesian=Bayesian()),
            objectives=(OBJECTIVE,),
            seed=0,
            num_trials=trials,
        )
        log = TrialLog(Path(folder) / "trials", fingerprint="overhead")
        reports = list(run_search(study, _make_runner(log, seconds), executor))
        wall = time.monotonic() - start
    stamps = [Stamp(report.metrics["begin"], report.metrics["end"]) for report in reports]
    return Measured(stamps, wall, executor.slots)


def _make_runner(log: TrialLog, seconds: float) -> TrialRunner:
    def arguments(proposal: Proposal, _: int) -> Mapping[str, object]:
        point = proposal.parameters
        return {"rate": point[RATE], "share": point[SHARE], "seconds": seconds}

    def record(trial: TrialReport, running: Mapping[int, Point]) -> None:
        log.append(TrialRecord(trial, running).to_json())

    return TrialRunner(
        objectives=(OBJECTIVE,),
        work=_work,
        arguments=arguments,
        record=record,
        listener=_Silent(),
        actions=_end_search,
        max_failed=0,
        timeout=_SILENCE_SECONDS,
        can_shrink=lambda _, __: False,
    )


def _end_search(_: FailureClass) -> Sequence[FailureAction]:
    return (FailureAction.FAIL_JOB,)


class _Silent(AbstractTrialListener):
    """Hears and says nothing."""

    @override
    def started(self, proposal: Proposal, slot: int) -> None:
        pass

    @override
    def epoch_ended(self, proposal: Proposal, slot: int, epoch: EpochReport) -> None:
        pass

    @override
    def progressed(self, proposal: Proposal, slot: int, payload: object) -> None:
        pass

    @override
    def failed(self, proposal: Proposal, failure: Failure) -> None:
        pass

    @override
    def retried(self, proposal: Proposal, slot: int, retry: RetryReport) -> None:
        pass
