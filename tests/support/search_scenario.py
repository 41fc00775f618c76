"""A search over toy trials in one process, with a trial log that is a real one."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from typing_extensions import override

from toy_search import LOSS, score
from trimtab_api.defaults import failure_actions
from trimtab_api.feasibility import TrialLimit
from trimtab_api.reports import EpochReport, RetryReport, TrialReport
from trimtab_api.v1alpha1._types import Scalar
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.runtime import FailureAction
from trimtab_api.v1alpha1.search import EarlyStopping
from trimtab_api.v1alpha1.status import FailureClass
from trimtab_trainer.execution._base import (
    AbstractExecutor,
    Event,
    Failure,
    Progress,
    WorkFunction,
)
from trimtab_trainer.execution.in_process import InProcessExecutor
from trimtab_trainer.search.records import TrialRecord
from trimtab_trainer.search.runner import AbstractTrialListener, Stopping, TrialRunner
from trimtab_trainer.search.stopping import build_stopper
from trimtab_trainer.search.study import Proposal, Study
from trimtab_trainer.search.trial import run_search
from trimtab_trainer.storage.trial_log import TrialLog
from trimtab_trainer.supervision import Wishes

__all__ = ["DEFAULT_POLICY", "Killed", "Metrics", "Scenario", "Silence"]

Metrics = dict[str, object]


class Killed(BaseException):
    """Stands for a signal that ends the driver."""


@dataclass(frozen=True)
class Silence:
    """A trial that hangs: nothing is heard of it while the clock goes on by these seconds."""

    seconds: float


class MutingExecutor(AbstractExecutor):
    """Runs in this process, and keeps to itself what a hanging trial yields.

    For some calls of `events` no work begins, while the clock goes far ahead.
    """

    def __init__(
        self, slots: int, pass_time: Callable[[float], None], places_missing: int = 0
    ) -> None:
        self._inner = InProcessExecutor(make_bench=object, slots=slots)
        self._pass_time = pass_time
        self._places_missing = places_missing
        self._is_waiting = False

    @property
    @override
    def slots(self) -> int:
        return self._inner.slots

    @property
    @override
    def workers_per_slot(self) -> int:
        return 1

    @property
    @override
    def gpus_per_slot(self) -> float:
        return 0.0

    @override
    def submit(self, slot: int, work: WorkFunction, /, **arguments: object) -> None:
        self._inner.submit(slot, work, **arguments)

    @override
    def submit_team(self, slot: int, work: WorkFunction, /, **arguments: object) -> None:
        self._inner.submit_team(slot, work, **arguments)

    @override
    def events(self, timeout: float | None = None) -> Iterator[Event]:
        self._is_waiting = self._places_missing > 0
        if self._is_waiting:
            self._places_missing -= 1
            self._pass_time(1e6)
            return
        for event in self._inner.events(timeout):
            if isinstance(event, Progress) and isinstance(event.payload, Silence):
                self._pass_time(event.payload.seconds)
            else:
                yield event

    @override
    def is_waiting(self, slot: int) -> bool:
        return self._is_waiting

    @override
    def interrupt(self, slot: int) -> None:
        self._inner.interrupt(slot)

    @override
    def stop(self, slot: int) -> None:
        self._inner.stop(slot)

    @override
    def close(self) -> None:
        self._inner.close()


def _default_policy(failure_class: FailureClass) -> Sequence[FailureAction]:
    spec = Spec.model_validate(
        {"model": {"builtin": "mlp"}, "dataset": {"builtin": "digits"}, "stages": {}}
    )
    return failure_actions(spec, failure_class)


DEFAULT_POLICY = _default_policy


@dataclass
class Scenario(AbstractTrialListener):
    """What trials do, and all that is heard of them."""

    folder: Path
    study: Study
    results: Mapping[int, object] = field(default_factory=dict)
    """Number → what a trial returns or raises instead of its loss; a list: one entry per try."""
    epochs: Mapping[int, int] = field(default_factory=dict)
    """Number → how many epochs the trial has instead of two."""
    losses: Callable[[int, int], float] = field(default=lambda _, epoch: 1 / epoch)
    """Number, epoch → loss of the epoch."""
    max_failed: int = 3
    slots: int = 1
    kill_at_start_of: int | None = None
    limits: Sequence[TrialLimit] = ()
    early_stopping: EarlyStopping | None = None
    actions: Callable[[FailureClass], Sequence[FailureAction]] = DEFAULT_POLICY
    largest_shrink: int = 9
    timeout: float = 1e9
    places_missing: int = 0
    heed: Callable[[], Wishes] = Wishes
    heard: list[str] = field(default_factory=list)
    placed: dict[int, dict[str, Scalar]] = field(default_factory=dict)
    shrinks: list[int] = field(default_factory=list)
    _tries: dict[int, int] = field(default_factory=dict)
    _now: float = 0.0

    def run(self) -> list[TrialReport]:
        log = TrialLog(self.folder / "trials", fingerprint="f")
        records = [TrialRecord.from_json(record) for record in log.read()]
        self.study.replay(records)
        earlier = [record.trial for record in records]
        with MutingExecutor(self.slots, self._pass_time, self.places_missing) as executor:
            runner = self._make_runner(log, earlier)
            return list(run_search(self.study, runner, executor, earlier, clock=self._clock))

    def _clock(self) -> float:
        self._now += 1.0
        return self._now

    def _make_runner(self, log: TrialLog, earlier: Sequence[TrialReport]) -> TrialRunner:
        def record(trial: TrialReport, running: Mapping[int, dict[str, Scalar]]) -> None:
            log.append(TrialRecord(trial, running).to_json())
            self.heard.append(f"record {trial.number}")

        return TrialRunner(
            objectives=self.study.objectives,
            limits=self.limits,
            work=train,
            arguments=self._arguments,
            can_shrink=lambda _, shrinks: shrinks <= self.largest_shrink,
            actions=self.actions,
            stopping=self._make_stopping(earlier),
            timeout=self.timeout,
            record=record,
            listener=self,
            heed=self.heed,
            pulse=1e9,
            max_failed=self.max_failed,
        )

    def _make_stopping(self, earlier: Sequence[TrialReport]) -> Stopping | None:
        if self.early_stopping is None:
            return None
        stopper = build_stopper(self.early_stopping, direction=LOSS.direction, epochs=9)
        for trial in earlier:
            for epoch in trial.intermediate:
                stopper.note(trial.number, epoch.epoch, epoch.metrics["loss"])
            stopper.end(trial.number)
        return Stopping(stopper, "loss", lambda proposal: self.epochs.get(proposal.number, 2))

    def _arguments(self, proposal: Proposal, shrinks: int) -> dict[str, object]:
        number = proposal.number
        self.shrinks.append(shrinks)
        result = self.results.get(number, {"loss": score(proposal.parameters), "accuracy": 0.5})
        if isinstance(result, list):
            tried = self._tries.get(number, 0)
            self._tries[number] = tried + 1
            result = result[min(tried, len(result) - 1)]
        if result is None and number not in self.results:
            result = {"loss": score(proposal.parameters)}
        epochs = range(1, self.epochs.get(number, 2) + 1)
        losses = [self.losses(number, epoch) for epoch in epochs]
        return {"result": result, "losses": losses}

    def _pass_time(self, seconds: float) -> None:
        self._now += seconds

    @override
    def started(self, proposal: Proposal, slot: int) -> None:
        if proposal.number == self.kill_at_start_of:
            raise Killed
        self.heard.append(f"start {proposal.number} in {slot}")
        self.placed[proposal.number] = proposal.parameters

    @override
    def epoch_ended(self, proposal: Proposal, slot: int, epoch: EpochReport) -> None:
        self.heard.append(f"epoch {proposal.number}.{epoch.epoch}")

    @override
    def progressed(self, proposal: Proposal, slot: int, payload: object) -> None:
        self.heard.append(f"progress {proposal.number} {payload}")

    @override
    def failed(self, proposal: Proposal, failure: Failure) -> None:
        self.heard.append(f"fail {proposal.number} {failure.failure_class}")

    @override
    def retried(self, proposal: Proposal, slot: int, retry: RetryReport) -> None:
        self.heard.append(f"{retry.action} {proposal.number}")

    def stored(self) -> list[TrialReport]:
        records = TrialLog(self.folder / "trials", fingerprint="f").read()
        return [TrialRecord.from_json(record).trial for record in records]


def train(_: object, *, result: object, losses: Sequence[float]) -> Generator[object, None, object]:
    for epoch, loss in enumerate(losses, start=1):
        yield EpochReport(epoch=epoch, metrics={"loss": loss}, seconds=0.5)
    if isinstance(result, Silence):
        yield from (result for _ in range(9))
        raise KeyError("a late result")
    if isinstance(result, Exception):
        raise result
    return result
