"""Training: epochs of seeded batches, a metric after each, and a wider type where one fails.

Called by the stages for trials, the final training and fine-tuning. Placement, early stopping
and where checkpoints lie are the callers'; single steps are `steps.py`.
"""

import math
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from trimtab_api.reports import NumericsReport
from trimtab_api.v1alpha1.train import PrecisionDtype
from trimtab_trainer.data._base import DataBundle
from trimtab_trainer.errors import CheckpointRefusedError, DivergedError
from trimtab_trainer.models.task import AbstractTask
from trimtab_trainer.training.batches import batch_sizes, shuffle
from trimtab_trainer.training.distributed import Team, share_buffers, sum_over
from trimtab_trainer.training.epoch_part import EpochPart
from trimtab_trainer.training.evaluation import device_of, evaluate, evaluate_in_batches
from trimtab_trainer.training.precision import (
    Precision,
    next_wider,
    read_hardware,
    resolve_precision,
)
from trimtab_trainer.training.recipe import Recipe
from trimtab_trainer.training.seeding import (
    Chance,
    capture_chance,
    restore_chance,
    seed_member,
)
from trimtab_trainer.training.state import TrainingState, select
from trimtab_trainer.training.steps import Stepper

__all__ = ["EpochResult", "StepProgress", "Training", "evaluate", "train"]

_CHECK_EVERY = 16
"""Steps between looks at the loss: on a GPU each look waits for the device."""
_PROGRESS_SECONDS = 1.0
_CHANCE = "chance."
_ALONE = Team()


def _nothing() -> None:
    """Leave the weights as the optimizer left them."""


@dataclass(frozen=True, slots=True)
class EpochResult:
    """What an epoch led to."""

    epoch: int
    """1…epochs."""
    epochs: int
    metrics: Mapping[str, float]
    """Over the validation split, and `train_loss`, the mean over the epoch's samples."""
    seconds: float
    """Time spent in training and evaluation."""
    numerics: NumericsReport
    """In which type it was computed, and what loss scaling met."""


@dataclass(frozen=True, slots=True)
class StepProgress:
    """A sign of life within an epoch."""

    epoch: int
    """1…epochs."""
    step: int
    """Steps of the epoch that are done; all of them while it is evaluated."""
    steps: int
    """Steps of the epoch."""


TrainingEvent = EpochResult | StepProgress


class Training:
    """A training that can be watched, ended between two steps, and gone on with later."""

    def __init__(
        self,
        model: nn.Module,
        *,
        data: DataBundle,
        task: AbstractTask,
        recipe: Recipe,
        seed: int,
        team: Team = _ALONE,
        after_step: Callable[[], None] = _nothing,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a training of a model in place, on the device where it is.

        Args:
            model: The model, in any mode.
            data: Training is on `train`, metrics are over `validation`.
            task: Loss and metrics.
            recipe: Length, optimizer, schedule and precision.
            seed: Seed of the order of samples; other chance (dropout) is torch's global
                generator.
            team: Who trains together; connected by `join`. Model, recipe and seed are the same
                for all members, and so is all that comes out.
            after_step: Called after every step of the optimizer; it may change weights in place.
            clock: Seconds, for the pace of progress.

        Raises:
            UserError: A pattern of layers to keep in fp32 matches none.
        """
        self._model = model
        self._data = data
        self._task = task
        self._recipe = recipe
        self._seed = seed
        self._team = team
        self._clock = clock
        per_epoch = len(batch_sizes(len(data.train), recipe.batch_size))
        self._total = recipe.count_steps(per_epoch)
        self._epochs = math.ceil(self._total / per_epoch)
        self._device = device_of(model)
        self._hardware = read_hardware(self._device.type)
        self._stepper = Stepper(
            model,
            task=task,
            recipe=recipe,
            precision=resolve_precision(recipe.precision.dtype, self._hardware),
            total=self._total,
            team=team,
            after_step=after_step,
        )
        self._history: list[EpochResult] = []
        self._part = EpochPart.start(self._device)
        self._told = clock()

    @property
    def history(self) -> tuple[EpochResult, ...]:
        """The results of all epochs, those before a restored state among them."""
        return tuple(self._history)

    def run(self) -> Generator[TrainingEvent, None, None]:
        """Train, reporting each epoch as it ends and, about once a second, that it goes on.

        Every epoch visits every training sample once, in an order that depends on seed and epoch
        only. Closing the iterator ends the training; the model is then in evaluation mode. When
        a type does not suffice, the epoch is done again in the next wider one of the recipe.

        Raises:
            DivergedError: Loss or a validation metric is NaN or infinite, or the loss scale
                collapses, and no wider type is left; noticed within 16 steps.
            CheckpointRefusedError: Members of a team go on from different epochs.
        """
        self._refuse_disagreement()
        try:
            while len(self._history) < self._epochs:
                result = yield from self._climb()
                self._history.append(result)
                self._part = EpochPart.start(self._device)
                yield result
        finally:
            self._model.eval()

    def state(self) -> TrainingState:
        """Return copies of everything that the rest of the training depends on.

        Valid before the first event and right after each: a training of an equal model, recipe
        and data that restores it then gives the same weights bit by bit, on the same machine with
        the same number of threads. A team that goes on within an epoch drops other units in the
        rest of it than it would have.

        Raises:
            DivergedError: The loss of the epoch that is under way is NaN or infinite already.
        """
        _refuse_divergence({"training loss": float(self._part.summed)}, self._stepper.when())
        self._part.overflows += self._stepper.take_overflows()
        return self._capture()

    def restore(self, state: TrainingState) -> None:
        """Go on from a state instead of from the beginning; call it before `run`.

        Raises:
            CheckpointRefusedError: The state is another network's, or lacks something.
        """
        try:
            dtype = PrecisionDtype(state.facts["dtype"])
            history = [self._parse_result(entry) for entry in state.facts["history"]]
            self._stepper.use(resolve_precision(dtype, self._hardware))
            self._load(state)
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointRefusedError(
                f"the state of epoch {state.epoch} must be one of this training but:"
                f" {type(error).__name__}: {error}"
            ) from error
        self._history = history

    def _refuse_disagreement(self) -> None:
        """Look whether all members begin at the same epoch: DDP would not notice."""
        done = torch.tensor(float(len(self._history)), device=self._device)
        mean = float(sum_over(self._team, done.clone())) / self._team.size
        if mean != float(done):
            raise CheckpointRefusedError(
                f"all members of a team must go on from the same epoch but member"
                f" {self._team.rank} has done {done:.0f} and the mean is {mean:g}"
            )

    def _climb(self) -> Generator[TrainingEvent, None, EpochResult]:
        """Do an epoch or the rest of one, in wider and wider types until it succeeds."""
        self._part.started = start = time.perf_counter()
        wider = self._next_wider()
        before = self._capture() if wider is not None else None
        while True:
            try:
                metrics = yield from self._run_epoch()
                break
            except DivergedError:
                if wider is None or before is None:
                    raise
                overflows = self._part.overflows + self._stepper.take_overflows()
                given_up = self._part.given_up or self._stepper.precision.dtype
                self._load(before)
                self._part.started = start
                self._part.overflows = overflows
                self._part.given_up = given_up
                self._stepper.use(wider)
                wider = self._next_wider()
        return EpochResult(
            epoch=len(self._history) + 1,
            epochs=self._epochs,
            metrics=metrics,
            seconds=self._part.count_seconds(),
            numerics=self._stepper.report(
                overflows=self._part.overflows + self._stepper.take_overflows(),
                given_up=self._part.given_up,
            ),
        )

    def _run_epoch(self) -> Generator[TrainingEvent, None, dict[str, float]]:
        epoch = len(self._history)
        split = self._data.train
        batches = shuffle(len(split), self._recipe.batch_size, seed=self._seed, epoch=epoch)
        part = self._part
        batches = batches[: self._total - self._stepper.step + part.batches]
        if self._team.size > 1:
            # The parts of an epoch that are done by different processes have seeds of their own.
            times = epoch + part.batches * self._epochs
            seed_member(self._seed, epoch=times, rank=self._team.rank)
        with self._stepper.training():
            for number, batch in enumerate(batches[part.batches :], start=part.batches + 1):
                part.summed += self._stepper.take(split, batch)
                part.batches = number
                if number % _CHECK_EVERY == 0 or number == len(batches):
                    # A loss that is not finite stays in the sum: none is missed between looks.
                    self._sum_losses()
                    self._stepper.refuse_collapse()
                if self._is_due():
                    yield StepProgress(epoch + 1, number, len(batches))
        metrics = yield from self._evaluate(StepProgress(epoch + 1, len(batches), len(batches)))
        metrics["train_loss"] = self._sum_losses() / sum(len(batch) for batch in batches)
        _refuse_divergence(metrics, f"epoch {epoch + 1}, {self._stepper.when()}")
        return metrics

    def _sum_losses(self) -> float:
        """Return the sum of all members' losses in this epoch.

        Raises:
            DivergedError: It is NaN or infinite.
        """
        total = float(sum_over(self._team, self._part.summed.clone()))
        _refuse_divergence({"training loss": total}, self._stepper.when())
        return total

    def _evaluate(self, progress: StepProgress) -> Generator[TrainingEvent, None, dict[str, float]]:
        share_buffers(self._model, self._team)
        batches = evaluate_in_batches(
            self._model, self._data.validation, self._task, team=self._team
        )
        with closing(batches):
            while True:
                try:
                    next(batches)
                except StopIteration as end:
                    metrics: dict[str, float] = end.value
                    return metrics
                if self._is_due():
                    yield progress

    def _is_due(self) -> bool:
        now = self._clock()
        if now - self._told < _PROGRESS_SECONDS:
            return False
        self._told = now
        return True

    def _next_wider(self) -> Precision | None:
        ladder = self._recipe.precision.fallback
        return next_wider(self._stepper.precision, ladder, self._hardware)

    def _capture(self) -> TrainingState:
        chance = capture_chance(self._device)
        held = {_CHANCE + name: tensor for name, tensor in chance.tensors.items()}
        return TrainingState(
            epoch=len(self._history),
            tensors={**self._stepper.tensors(), **held},
            facts={
                **self._stepper.facts(),
                "chance": chance.facts,
                "history": [_render_result(result) for result in self._history],
                "part": self._part.render(),
            },
        )

    def _load(self, state: TrainingState) -> None:
        self._stepper.restore(state.tensors, state.facts)
        chance = Chance(select(state.tensors, _CHANCE), state.facts["chance"])
        restore_chance(chance, self._device)
        self._part = EpochPart.parse(state.facts["part"], self._device)

    def _parse_result(self, entry: Mapping[str, Any]) -> EpochResult:
        numerics = NumericsReport.model_validate(entry["numerics"])
        return EpochResult(**{**entry, "epochs": self._epochs, "numerics": numerics})


def train(
    model: nn.Module,
    *,
    data: DataBundle,
    task: AbstractTask,
    recipe: Recipe,
    seed: int,
    after_step: Callable[[], None] = _nothing,
) -> Generator[EpochResult, None, None]:
    """Train a model in place and report each epoch as it ends, for callers who need no more.

    Takes, does and raises what `Training` does.
    """
    training = Training(
        model, data=data, task=task, recipe=recipe, seed=seed, after_step=after_step
    )
    with closing(training.run()) as events:
        for event in events:
            if isinstance(event, EpochResult):
                yield event


def _render_result(result: EpochResult) -> dict[str, Any]:
    return {
        "epoch": result.epoch,
        "metrics": dict(result.metrics),
        "seconds": result.seconds,
        "numerics": result.numerics.model_dump(mode="json"),
    }


def _refuse_divergence(values: Mapping[str, float], when: str) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise DivergedError(f"{name} must be a finite number but is {value} at {when}")
