"""The journal of a run: stage entries in storage, the status of each stage, and the report.

The pipeline tells it what happens; it stores a stage's result under the hash of what the result
depends on, tells the reporter, and writes report.json and report.html. It decides nothing.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab_api.explanation import explain_choices
from trimtab_api.margins import list_margins
from trimtab_api.outcome import RunFacts, build_status
from trimtab_api.pareto import find_front, measure_hypervolume
from trimtab_api.reports import ChoiceReport, NumericsReport, RunReport
from trimtab_api.stages import STAGE_ORDER, StageName, StageReason, StageState
from trimtab_api.texts import shorten
from trimtab_api.v1alpha1.conditions import DegradedReason, FailedReason
from trimtab_api.v1alpha1.status import PrecisionStatus, StageStatus, TargetStatus
from trimtab_trainer.errors import ExportFailedError, TrainerError
from trimtab_trainer.reporting._base import StageEnded, StageStarted
from trimtab_trainer.reporting.gpu_time import GpuTime, measure_gpu_time
from trimtab_trainer.reporting.html import render_html
from trimtab_trainer.run_clock import RunClock
from trimtab_trainer.stages._base import AbstractStage, Facts, Run, StageResult
from trimtab_trainer.storage.filesystem import atomic_write, read_json, write_json
from trimtab_trainer.storage.hashes import fingerprint
from trimtab_trainer.storage.patience import StorageTrouble
from trimtab_trainer.supervision import Snapshot

__all__ = ["Journal", "StoredStage"]

_SCHEMA = 1
_PAGE_SECONDS = 30.0
"""The page is for people and takes a second to draw: not after each stage of a job of seconds."""


@dataclass(frozen=True, slots=True)
class StoredStage:
    """A stage's result as storage holds it."""

    status: StageStatus
    data: dict[str, Any]
    """For the stage's `restore`."""
    warnings: tuple[str, ...]
    """What it told the user."""


class Journal:
    """What happened to each stage of a run, in memory and in storage."""

    def __init__(self, run: Run, *, extends: bool = False) -> None:
        self._run = run
        self._extends = extends
        self._clock = RunClock()
        self._start_time = self._clock.stamp()
        self._stages = {name: StageStatus(name=name) for name in STAGE_ORDER}
        self._began: dict[str, float] = {}
        self._warned: dict[str, int] = {}
        """How many warnings there were when an entry began."""
        self._drawn = time.monotonic()
        self._failure: tuple[FailedReason, str] | None = None
        self._finished = False
        run.look = self.look

    def find_valid(self, stage: AbstractStage) -> StoredStage | None:
        """Return the stored result of a stage where its inputs and its files are the same."""
        document = self._read(stage.entry)
        if document is None or document.get("schema") != _SCHEMA:
            return None
        status = StageStatus.model_validate(document["status"])
        inputs = stage.inputs(self._run)
        if inputs is None or status.input_hash != fingerprint(inputs):
            return None
        if not stage.is_intact(self._run, document["data"]):
            self._run.warn(f"files of stage {stage.entry} are missing or changed: it runs again")
            return None
        return StoredStage(status, document["data"], tuple(document.get("warnings", ())))

    def _read(self, entry: str) -> dict[str, Any] | None:
        try:
            document: dict[str, Any] | None = read_json(self._path(entry))
        except ValueError:
            self._run.warn(f"{self._path(entry).name} is not JSON: the stage runs again")
            return None
        return document

    def _path(self, entry: str) -> Path:
        return self._run.context.root / "stages" / f"{entry}.json"

    def start(self, stage: AbstractStage) -> None:
        """Note that a stage runs."""
        self._began[stage.entry] = time.monotonic()
        self._warned[stage.entry] = len(self._run.warnings)
        if stage.entry == stage.name:
            self._set(stage.name, state=StageState.RUNNING, start_time=self._clock.stamp())
            if stage.name is not StageName.SEARCH:  # which knows how many trials are left
                self._run.reporter.publish(StageStarted(stage.name))

    def skip(self, name: StageName) -> None:
        """Note that a stage is not asked for."""
        self._set(name, state=StageState.SKIPPED, reason=StageReason.NOT_REQUESTED)
        self._publish_end(name, 0.0)

    def reuse(self, stage: AbstractStage, stored: StoredStage) -> None:
        """Note that an earlier start's result is taken."""
        for warning in stored.warnings:
            self._run.warn(warning)
        if stage.entry == stage.name:
            skipped = stored.status.state is StageState.SKIPPED
            state = StageState.SKIPPED if skipped else StageState.CACHED
            self._stages[stage.name] = stored.status.model_copy(update={"state": state})
            self._publish_end(stage.name, 0.0)

    def end(self, stage: AbstractStage, result: StageResult) -> None:
        """Store a result; from here on the stage does not run again for the same inputs."""
        inputs = stage.inputs(self._run)
        status = StageStatus(
            name=stage.name,
            state=result.state,
            reason=result.reason,
            start_time=self._stages[stage.name].start_time,
            completion_time=self._clock.stamp(),
            input_hash=fingerprint(inputs or {}),
            metrics=result.metrics,
            artifact=result.artifact,
            message=shorten(result.message),
        )
        if result.state is not StageState.FAILED:  # which is tried again at the next start
            document = {
                "schema": _SCHEMA,
                "status": status.model_dump(mode="json", by_alias=True, exclude_none=True),
                "data": result.data,
                "warnings": self._run.warnings[self._warned[stage.entry] :],
            }
            self._run.store(lambda: write_json(self._path(stage.entry), document))
        if stage.entry == stage.name:
            self._stages[stage.name] = status
            self._publish_end(stage.name, time.monotonic() - self._began[stage.entry])
            self.write_report(page=time.monotonic() - self._drawn > _PAGE_SECONDS)

    def stage_failed(self, stage: AbstractStage, error: TrainerError) -> None:
        """Note that a stage cannot be done."""
        export_failed = isinstance(error, ExportFailedError)
        name = StageName.EXPORT if export_failed else stage.name
        self._set(
            name,
            state=StageState.FAILED,
            reason=StageReason.EXPORT_FAILED if export_failed else error.failure_class,
            message=shorten(str(error)),
            completion_time=self._clock.stamp(),
        )
        self._publish_end(name, time.monotonic() - self._began[stage.entry])

    def fail(self, reason: FailedReason, message: str) -> None:
        """Note that the job failed, and with it the stage that runs."""
        self._failure = (reason, message)
        for status in self._stages.values():
            if status.state is StageState.RUNNING:
                self._set(
                    status.name,
                    state=StageState.FAILED,
                    message=shorten(message),
                    completion_time=self._clock.stamp(),
                )

    def finish(self) -> None:
        """Note that all stages ended."""
        self._finished = True

    def _set(self, name: StageName, **update: object) -> None:
        self._stages[name] = self._stages[name].model_copy(update=update)

    def _publish_end(self, name: StageName, seconds: float) -> None:
        status = self._stages[name]
        self._run.reporter.publish(
            StageEnded(name, status.state, status.reason, status.message, seconds)
        )
        self._run.supervisor.ask(self.look)

    def look(self) -> Snapshot:
        """Return what is known now, without the details that only the report has."""
        run = self._run
        baseline, spec, gpu_time = _metrics_of(run), run.spec, self._measure_gpu_time()
        front = find_front(run.candidates, baseline, spec)
        return Snapshot(
            status=build_status(self._gather_facts()),
            trials=tuple(run.trials),
            candidates=tuple(run.candidates),
            measured=tuple(
                TargetStatus(name=name, node=self._node, device=device, proxy=run.context.is_local)
                for name, device in run.devices.items()
                if run.measured
            ),
            margins=list_margins(run.candidates, baseline, spec, run.targets_here),
            hypervolume=measure_hypervolume(front, baseline, spec),
            gpu_saved=gpu_time.saved if gpu_time else {},
        )

    def _measure_gpu_time(self) -> GpuTime | None:
        run = self._run
        return measure_gpu_time(
            run.executor.gpus_per_slot,
            run.trials,
            tuple(self._stages.values()),
            cached=run.cached_trials,
            training=run.training,
        )

    @property
    def _node(self) -> str:
        """Return where targets are measured."""
        return str(self._run.machine.get("node", ""))

    def write_report(self, *, page: bool = True) -> RunReport:
        """Write report.json and, where asked for, report.html from what is known now.

        Returns:
            The report.
        """
        report = self._build_report()
        document = report.model_dump(mode="json", by_alias=True, exclude_none=True)
        root = self._run.context.root
        self._run.store(lambda: write_json(root / "report.json", document))
        if page:
            html = render_html(report)
            self._run.store(lambda: atomic_write(root / "report.html", html))
            self._drawn = time.monotonic()
        return report

    def _build_report(self) -> RunReport:
        run = self._run
        facts = run.facts
        return RunReport(
            name=run.context.name,
            fingerprint=run.context.fingerprint,
            manifest=run.job.spec.model_dump(mode="json", by_alias=True, exclude_none=True),
            spec=run.final_spec.model_dump(mode="json", by_alias=True, exclude_none=True),
            status=build_status(self._gather_facts()),
            baseline=run.baseline,
            trials=tuple(run.trials),
            cached_trials=tuple(run.cached_trials),
            importance=tuple(run.importance),
            training=tuple(run.training),
            prune_steps=tuple(run.prune_steps),
            pruned_layers=tuple(run.pruned_layers),
            candidates=tuple(run.candidates),
            choices=self._explain(),
            data={"samples": facts.samples, "digest": facts.digest} if facts else {},
            environment=run.machine,
            warnings=tuple(run.warnings),
        )

    def _explain(self) -> tuple[ChoiceReport, ...]:
        run = self._run
        if run.baseline is None or not run.measured:
            return ()
        return explain_choices(
            run.candidates,
            run.baseline.metrics,
            run.spec,
            linear_share=run.linear_share,
        )

    def _gather_facts(self) -> RunFacts:
        run, gpu_time = self._run, self._measure_gpu_time()
        return RunFacts(
            spec=run.spec,
            attempt=run.context.attempt,
            now=self._clock.stamp(),
            start_time=self._start_time,
            stages=tuple(self._stages.values()),
            trials=tuple(run.trials),
            baseline=run.baseline,
            candidates=tuple(run.candidates),
            budget=run.ledger.status() if run.ledger else None,
            precision=_sum_up_precision(run, run.facts) if run.facts else None,
            gpu_seconds=gpu_time.summarize() if gpu_time else None,
            problem=_describe(run.trouble.current),
            had_problem=run.trouble.last is not None,
            extended=self._extends,
            cached_trials=len(run.cached_trials),
            failure=self._failure,
            finished=self._finished and self._failure is None,
            node=self._node or None,
            devices=run.devices,
            proxy=run.context.is_local,
        )


def _metrics_of(run: Run) -> Mapping[str, float]:
    return run.baseline.metrics if run.baseline else {}


def _sum_up_precision(run: Run, facts: Facts) -> PrecisionStatus:
    """Return the precision of the last training, and what all trainings met."""
    trainings = [trial.intermediate for trial in run.trials]
    last = next(
        (epoch.numerics for epoch in reversed(run.training) if epoch.numerics is not None),
        NumericsReport(dtype=facts.dtype, emulated=facts.emulated),
    )
    if tuple(run.training) not in trainings:  # else its weights are those of a trial
        trainings.append(tuple(run.training))
    numerics = [
        epoch.numerics for epochs in trainings for epoch in epochs if epoch.numerics is not None
    ]
    return PrecisionStatus(
        dtype=last.dtype,
        emulated=last.emulated,
        loss_scale=last.loss_scale,
        overflows=sum(entry.overflows for entry in numerics),
        fallbacks=sum(entry.fallback_from is not None for entry in numerics),
    )


def _describe(trouble: StorageTrouble | None) -> tuple[DegradedReason, str] | None:
    return (trouble.reason, trouble.message) if trouble else None
