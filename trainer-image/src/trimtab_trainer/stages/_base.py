"""What a stage is: it turns the state of a run into a result that storage keeps.

The pipeline calls `run` for a stage whose stored result does not match its inputs, `restore`
otherwise. A stage decides what is done in which order; the work itself is a function of
`_work`-modules that runs in a slot of the executor, and the algorithms are the domain packages'.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from trimtab_api.defaults import DETECTED_PROFILE, expand_job
from trimtab_api.outcome import best_trial
from trimtab_api.overrides import apply_parameters
from trimtab_api.reports import (
    BaselineReport,
    CandidateReport,
    EpochReport,
    ImportanceReport,
    PrunedLayerReport,
    PruneStepReport,
    TrialReport,
)
from trimtab_api.stages import StageName, StageReason, StageState
from trimtab_api.techniques import DENSE, PRUNED
from trimtab_api.v1alpha1.goals import Target, TargetDevice
from trimtab_api.v1alpha1.job import OptimizationJob, Spec
from trimtab_api.v1alpha1.status import BestTrial, FailureClass, Status
from trimtab_trainer.context import RunContext
from trimtab_trainer.errors import OutOfMemoryError, RunStoppedError, TrainerError, UserError
from trimtab_trainer.execution._base import AbstractExecutor, Done, Failure, WorkFunction
from trimtab_trainer.execution.shares import share_cores
from trimtab_trainer.exporting.artifact import digest_artifact
from trimtab_trainer.ledger import Ledger
from trimtab_trainer.reporting._base import AbstractReporter, WarningRaised
from trimtab_trainer.stages._trouble import TroubleWatch
from trimtab_trainer.storage.filesystem import atomic_write
from trimtab_trainer.storage.mirror import fetch_named
from trimtab_trainer.storage.patience import is_passing, patiently
from trimtab_trainer.supervision import (
    PULSE_SECONDS,
    AbstractSupervisor,
    NobodyWatches,
    Snapshot,
    Wishes,
)

__all__ = ["AbstractStage", "Facts", "Run", "StageResult"]

ResultT = TypeVar("ResultT")

_DRIVER = "driver"
"""Who writes in this process."""
_LOST = frozenset({FailureClass.NODE_LOST, FailureClass.PREEMPTED})
_LOSSES = 3
"""Times that work outside a trial runs again after its process was lost."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the preflight found out about data and network."""

    samples: dict[str, int]
    """Samples per split."""
    digest: str
    """Hash of data and split."""
    num_classes: int | None
    params: int
    flops: int
    dtype: str
    """Type that autocast computes in."""
    emulated: bool
    """Whether the device computes it in another type."""
    device: str
    """`cpu` or `cuda`."""
    skipped: tuple[str, ...]
    """Samples that cannot be read."""
    data_warnings: tuple[str, ...]
    """What else loading the data met."""


@dataclass(frozen=True, slots=True)
class StageResult:
    """How a stage ended, and all that a later start needs to go on without running it again."""

    state: StageState = StageState.SUCCEEDED
    reason: StageReason | None = None
    message: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    artifact: str | None = None
    """What it leaves, relative to the run folder."""
    data: dict[str, Any] = field(default_factory=dict)
    """JSON data for `restore`."""


@dataclass(slots=True)
class Run:
    """The state of a run between stages; the one thing that they share."""

    context: RunContext
    job: OptimizationJob
    """As written, with the number of trials that is wanted now."""
    executor: AbstractExecutor
    reporter: AbstractReporter
    supervisor: AbstractSupervisor = field(default_factory=NobodyWatches)
    check_fence: Callable[[], object] = lambda: None
    """Called before each write; raises FencedError once a later attempt has begun."""
    look: Callable[[], Snapshot] = lambda: Snapshot(Status())
    """Gives what is known of the run; the journal sets it."""
    facts: Facts | None = None
    ledger: Ledger | None = None
    trials: list[TrialReport] = field(default_factory=list)
    cached_trials: list[TrialReport] = field(default_factory=list)
    """Of the job that the search starts from."""
    importance: list[ImportanceReport] = field(default_factory=list)
    training: list[EpochReport] = field(default_factory=list)
    checkpoint: Path | None = None
    """Folder of the dense model's weights; None = as the manifest gives them."""
    pruned_checkpoint: Path | None = None
    prune_steps: list[PruneStepReport] = field(default_factory=list)
    pruned_layers: list[PrunedLayerReport] = field(default_factory=list)
    baseline: BaselineReport | None = None
    candidates: list[CandidateReport] = field(default_factory=list)
    devices: dict[str, TargetDevice] = field(default_factory=dict)
    """Target → where it was measured."""
    machine: dict[str, object] = field(default_factory=dict)
    """What the work runs on: node, versions, processor."""
    measured: bool = False
    """Whether the final benchmark ran."""
    warnings: list[str] = field(default_factory=list)
    trouble: TroubleWatch = field(init=False)

    def __post_init__(self) -> None:
        """Watch storage on behalf of the reporter."""
        self.trouble = TroubleWatch(self.reporter)

    @property
    def spec(self) -> Spec:
        """Return the spec with every computed default."""
        return self._expand(self.job)

    @property
    def best(self) -> BestTrial | None:
        """Return the best trial so far."""
        return best_trial(self.trials, self.job.spec)

    @property
    def final_spec(self) -> Spec:
        """Return the expanded spec with the best trial's parameters in place."""
        best = self.best
        parameters = {entry.name: entry.value for entry in best.parameters} if best else {}
        return self.spec_with(parameters)

    @property
    def targets_here(self) -> tuple[Target, ...]:
        """Return the targets whose final figures this run measures itself, expanded."""
        is_local = self.context.is_local
        return tuple(entry for entry in self.spec.targets if is_local or not entry.node_selector)

    @property
    def trial_cores(self) -> int:
        """Return the cores of a slot while all slots work, over all its processes."""
        size = self.executor.workers_per_slot
        processes = self.executor.slots * size
        return size * share_cores(self.context.cores, self.context.machines, processes)

    def _cores_alone(self, *, as_team: bool) -> int:
        """Return the cores of slot 0 while the others are idle."""
        size = self.executor.workers_per_slot if as_team else 1
        return self.context.cores * min(size, self.context.machines)

    def spec_with(self, parameters: dict[str, Any]) -> Spec:
        """Return the expanded spec of one trial.

        What is computed from a field (the fine-tuning rate from the learning rate) follows the
        parameter that replaces it, so parameters go in before the defaults.
        """
        spec = apply_parameters(self.job.spec, parameters)
        return self._expand(self.job.model_copy(update={"spec": spec}))

    def _expand(self, job: OptimizationJob) -> Spec:
        return expand_job(job, cores=self.context.cores, detected=DETECTED_PROFILE).spec

    def require_facts(self) -> Facts:
        """Return what the preflight found.

        Raises:
            RuntimeError: The preflight has not run: a mistake of the pipeline.
        """
        if self.facts is None:
            raise RuntimeError("the preflight has not run")
        return self.facts

    def require_ledger(self) -> Ledger:
        """Return the ledger.

        Raises:
            RuntimeError: The baseline has not been measured: a mistake of the pipeline.
        """
        if self.ledger is None:
            raise RuntimeError("the baseline has not been measured")
        return self.ledger

    @property
    def linear_share(self) -> float | None:
        """Return the share of the FLOPs in linear layers, once the dense network was counted."""
        shares = (entry.details["linearShare"] for entry in self.candidates if entry.id == DENSE)
        return next(shares, None)

    def checkpoint_of(self, name: str) -> Path | None:
        """Return the weights of a float candidate; None = as the manifest gives them."""
        return self.pruned_checkpoint if name == PRUNED else self.checkpoint

    def trial_checkpoint(self, number: int) -> Path:
        """Return the folder of a trial's weights."""
        return self.context.checkpoints / f"trial-{number}"

    def warn(self, message: str) -> None:
        """Tell the user something, now and in the report."""
        if message not in self.warnings:
            self.warnings.append(message)
            self.reporter.publish(WarningRaised(message))

    def call(
        self,
        work: WorkFunction,
        *,
        on_progress: Callable[[Any], None] = lambda _: None,
        as_team: bool = False,
        **arguments: object,
    ) -> Any:
        """Run one piece of work in slot 0 with all cores, and wait for its value.

        Work whose process was lost runs again; what it stored on its way is still there. A machine
        that is taken away is lost as often as that happens.

        Args:
            work: Takes `threads` besides the arguments.
            on_progress: Hears what the work yields.
            as_team: Whether all processes of the slot work together.
            arguments: For the work.

        Raises:
            TrainerError: The work's own, or UserError where user code raised; the traceback
                is in the run folder's `logs/`.
            RunStoppedError: As for `heed`.
            FencedError: As for `heed`.
        """
        losses = 0
        while True:
            submit = self.executor.submit_team if as_team else self.executor.submit
            submit(0, work, threads=self._cores_alone(as_team=as_team), **arguments)
            done = self._wait(on_progress)
            if done.failure is None:
                return done.value
            self.keep_traceback(work.__name__, done.failure.traceback)
            losses += done.failure.failure_class is FailureClass.NODE_LOST
            if done.failure.failure_class not in _LOST or losses > _LOSSES:
                raise _error_of(done.failure)
            self.warn(f"{work.__name__} runs again: {done.failure.message}")

    def _wait(self, on_progress: Callable[[Any], None]) -> Done:
        while True:
            self.heed()
            for event in self.executor.events(PULSE_SECONDS):
                if isinstance(event, Done):
                    self.trouble.clear(event.slot)
                    return event
                if not self.trouble.note(event.payload, event.slot):
                    on_progress(event.payload)

    def heed(self) -> Wishes:
        """Show that the run is alive, and return what is wanted of it now.

        Raises:
            RunStoppedError: It is to end.
            FencedError: A later attempt has begun.
        """
        wishes = self.supervisor.ask(self.look)
        if wishes.stop:
            raise RunStoppedError("the run was asked to stop")
        try:
            self.check_fence()
        except OSError as error:
            # Storage that is away for a moment holds up nothing that does not write.
            if not is_passing(error):
                raise
        return wishes

    def store(self, write: Callable[[], None]) -> None:
        """Write to storage; while it is full or away, wait and tell so.

        Raises:
            OSError: One that does not pass by itself.
            FencedError: A later attempt has begun; nothing was written.
        """
        self.load(write)

    def load(self, read: Callable[[], ResultT]) -> ResultT:
        """Return what storage holds; while it is away, wait and tell so.

        Raises:
            OSError: One that does not pass by itself.
            FencedError: A later attempt has begun.
        """

        def read_inside_fence() -> ResultT:
            self.check_fence()
            return read()

        steps = patiently(read_inside_fence)
        while True:
            try:
                trouble = next(steps)
            except StopIteration as end:
                self.trouble.clear(_DRIVER)
                found: ResultT = end.value
                return found
            self.trouble.note(trouble, _DRIVER)
            self.supervisor.ask(self.look)

    def fetch(self, *paths: Path) -> None:
        """Bring here what slots stored at and below some paths; wait as for `store`.

        Raises:
            OSError: One that does not pass by itself.
            FencedError: A later attempt has begun.
        """
        self.load(lambda: fetch_named(paths))

    def keep_traceback(self, name: str, traceback: str) -> None:
        """Write a traceback into the run folder's logs."""
        if traceback:
            path = self.context.root / "logs" / f"{name}.log"
            self.store(lambda: atomic_write(path, traceback))


class AbstractStage(ABC):
    """One stage; it has no state of its own."""

    name: ClassVar[StageName]

    @property
    def entry(self) -> str:
        """Return the name under which storage keeps the result."""
        return self.name.value

    @abstractmethod
    def inputs(self, run: Run) -> dict[str, Any] | None:
        """Return all that the stage's result depends on, as JSON data; None = not asked for."""

    @abstractmethod
    def run(self, run: Run) -> StageResult:
        """Do the stage and put what later stages need into the run.

        Raises:
            TrainerError: It cannot be done.
        """

    @abstractmethod
    def restore(self, run: Run, data: dict[str, Any]) -> None:
        """Put into the run what an earlier start's result holds."""

    def is_intact(self, run: Run, data: dict[str, Any]) -> bool:
        """Return whether the files that a stored result needs are there, unchanged.

        A result that has lost its files is not restored; the stage runs again.
        """
        return all(
            _has_digest(run.context.root / file["artifact"], file["digest"])
            for candidate in data.get("candidates", [])
            for file in candidate["files"]
        )


def _error_of(failure: Failure) -> TrainerError:
    if failure.error is not None:
        return failure.error
    if failure.failure_class is FailureClass.OOM:
        return OutOfMemoryError(failure.message)
    return UserError(failure.message)


def _has_digest(path: Path, digest: str) -> bool:
    try:
        return digest_artifact(path) == digest
    except OSError:
        return False
