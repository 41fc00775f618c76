"""The terminal's reporters: live bars on a terminal, plain lines elsewhere.

Imported by `local` alone. What is told is `run_state`'s and `event_lines`'; here is only where and
how it is drawn.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text
from typing_extensions import override

from trimtab_api.wording import render_metric, render_seconds
from trimtab_cli.rendering.event_lines import describe_event
from trimtab_cli.rendering.run_state import RunState, TrialView
from trimtab_trainer.reporting._base import (
    AbstractReporter,
    CandidateMeasured,
    CheckpointRefused,
    Event,
    NewBest,
    PrecisionFallback,
    ProblemRaised,
    ProblemSolved,
    RunResumed,
    SamplesSkipped,
    StageEnded,
    TrialEnded,
    TrialRetried,
    WarningRaised,
)

__all__ = ["LiveReporter", "PlainReporter", "open_reporter"]

Clock = Callable[[], float]

# The cores are busy with training: a few frames a second are enough.
_FRAMES_PER_SECOND = 4
_STARTING = "starting workers"
_LASTING = (
    RunResumed,
    StageEnded,
    NewBest,
    CandidateMeasured,
    TrialRetried,
    WarningRaised,
    ProblemRaised,
    ProblemSolved,
    SamplesSkipped,
    CheckpointRefused,
    PrecisionFallback,
)


@contextlib.contextmanager
def open_reporter(metric: str) -> Iterator[AbstractReporter]:
    """Provide the reporter that fits standard output, and leave the terminal as it was.

    Args:
        metric: The primary metric.
    """
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        yield PlainReporter(console.file, metric=metric)
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[note]}", style="dim"),
        console=console,
        transient=True,
        refresh_per_second=_FRAMES_PER_SECOND,
    ) as bars:
        yield LiveReporter(bars, metric=metric)


class PlainReporter(AbstractReporter):
    """One line per event, for logs and pipes."""

    def __init__(self, stream: IO[str], *, metric: str, clock: Clock = time.monotonic) -> None:
        self._stream = stream
        self._metric = metric
        self._clock = clock
        self._state = RunState()

    @override
    def publish(self, event: Event) -> None:
        now = self._clock()
        self._state.apply(event, now)
        line = describe_event(event, self._state, metric=self._metric, now=now)
        if line is not None:
            # A closed pipe must not end the run.
            with contextlib.suppress(OSError):
                self._stream.write(f"{line}\n")
                self._stream.flush()


class LiveReporter(AbstractReporter):
    """One bar for the run, one for its stage, one per running trial; what lasts stands above."""

    def __init__(self, bars: Progress, *, metric: str, clock: Clock = time.monotonic) -> None:
        self._bars = bars
        self._metric = metric
        self._clock = clock
        self._state = RunState()
        self._run = bars.add_task("run", total=self._state.stages, note=_STARTING)
        self._stage = bars.add_task("", total=None, note="", visible=False)
        self._trials: dict[int, TaskID] = {}

    @override
    def publish(self, event: Event) -> None:
        now = self._clock()
        self._state.apply(event, now)
        failed = isinstance(event, TrialEnded) and event.trial.failure is not None
        if failed or isinstance(event, _LASTING):
            line = describe_event(event, self._state, metric=self._metric, now=now)
            self._bars.console.print(Text(line or ""))
        self._draw(now)

    def _draw(self, now: float) -> None:
        state = self._state
        share = state.position / state.total if state.stage and state.total else 0.0
        note = f"{len(state.ended)} of {state.stages} stages"
        if state.stage is None and not state.ended:
            note = _STARTING
        if state.problem is not None:
            note = f"waiting, {state.problem.reason}: {state.problem.message}"
        self._bars.update(self._run, completed=len(state.ended) + min(share, 1.0), note=note)
        self._bars.update(
            self._stage,
            description=f"  {state.stage or ''}",
            total=state.total,
            completed=state.position,
            note=self._stage_note(now),
            visible=state.stage is not None,
        )
        for number in [number for number in self._trials if number not in state.running]:
            self._bars.remove_task(self._trials.pop(number))
        for number, trial in state.running.items():
            self._draw_trial(number, trial)

    def _draw_trial(self, number: int, trial: TrialView) -> None:
        if number not in self._trials:
            name = f"    trial {number}"
            self._trials[number] = self._bars.add_task(name, total=trial.epochs, note="")
        value = trial.metrics.get(self._metric)
        figure = "" if value is None else f", {self._metric} {render_metric(self._metric, value)}"
        note = f"epoch {trial.epoch}" + (f"/{trial.epochs}" if trial.epochs else "") + figure
        if trial.retries:
            note += f", run {trial.retries + 1}"
        self._bars.update(
            self._trials[number], completed=trial.position, total=trial.epochs, note=note
        )

    def _stage_note(self, now: float) -> str:
        state = self._state
        parts = []
        if state.message:
            parts.append(state.message)
        elif state.total and state.total > 1:
            parts.append(f"{state.done:.0f}/{state.total:.0f}")
        left = state.remaining(now)
        if left is not None:
            parts.append(f"about {render_seconds(left)} left")
        if state.best is not None:
            value = render_metric(self._metric, state.best.value)
            parts.append(f"best {self._metric} {value} by trial {state.best.number}")
        return ", ".join(parts)
