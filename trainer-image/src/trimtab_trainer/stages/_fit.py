"""Work of a trial and of the final training: one network from its first weights to its last.

Runs in the processes of a slot beside the loaded data. It goes on from the newest checkpoint of
the same training, so a killed process costs the epochs since then, and a machine that is taken away
costs nothing. Yields each epoch, and signs of life between them; what follows from a failure is
decided by whoever submitted it.
"""

from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from trimtab_api.defaults import failure_actions
from trimtab_api.feasibility import find_violations, trial_limits
from trimtab_api.reports import EpochReport
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.runtime import FailureAction
from trimtab_api.v1alpha1.status import FailureClass
from trimtab_api.v1alpha1.train import Train
from trimtab_trainer.errors import (
    CheckpointRefusedError,
    DivergedError,
    NetworkUnfitError,
    PreemptedError,
    UserError,
)
from trimtab_trainer.execution._base import TeamMember
from trimtab_trainer.models.profile import count_flops, count_parameters
from trimtab_trainer.stages._bench import Bench, make_example
from trimtab_trainer.stages._compressible import check_compression, searches_network
from trimtab_trainer.storage.hashes import fingerprint
from trimtab_trainer.storage.patience import StorageTrouble, patiently
from trimtab_trainer.training.checkpoint import save_checkpoint
from trimtab_trainer.training.distributed import Team, join
from trimtab_trainer.training.loop import EpochResult, StepProgress, Training
from trimtab_trainer.training.recipe import PrecisionSettings, Recipe
from trimtab_trainer.training.series import CheckpointSeries

__all__ = [
    "CheckpointNotice",
    "FitEvent",
    "GoingOn",
    "can_shrink",
    "fit",
    "make_recipe",
    "report_epoch",
    "unfinished",
]

_SERIES = "unfinished"


@dataclass(frozen=True, slots=True)
class CheckpointNotice:
    """A checkpoint that was refused; an older one, or the start, is taken instead."""

    message: str


@dataclass(frozen=True, slots=True)
class GoingOn:
    """The training goes on from a checkpoint; its epochs so far are told again after this."""

    epoch: int
    """The last one that is done."""
    epochs: int
    """How many it has in all."""


FitEvent = EpochReport | StepProgress | StorageTrouble | CheckpointNotice | GoingOn


def make_recipe(spec: Spec, *, shrinks: int = 0) -> Recipe:
    """Return the recipe that an expanded stages.train describes.

    Args:
        spec: With stages.train.
        shrinks: How many times the micro-batches are halved; the batch of a step stays the same.

    Raises:
        ValueError: The spec has no stages.train.
    """
    train = _require_train(spec)
    precision = train.precision
    may_fall_back = FailureAction.FALLBACK_PRECISION in failure_actions(spec, FailureClass.DIVERGED)
    return Recipe(
        epochs=train.epochs,
        steps=train.steps,
        batch_size=train.batch_size,
        accumulate_steps=train.accumulate_steps * (1 << shrinks),
        optimizer=train.optimizer,
        learning_rate=train.learning_rate,
        weight_decay=train.weight_decay,
        momentum=train.momentum,
        schedule=train.learning_rate_schedule,
        precision=PrecisionSettings(
            dtype=precision.dtype,
            loss_scale=precision.loss_scale.mode,
            loss_scale_value=precision.loss_scale.value,
            fallback=precision.fallback if may_fall_back else (),
            keep_float=precision.keep_float,
        ),
    )


def can_shrink(spec: Spec, shrinks: int) -> bool:
    """Return whether micro-batches can be halved so many times and still hold a sample each."""
    train = _require_train(spec)
    parts = train.accumulate_steps * (1 << shrinks) * train.num_workers
    return parts <= train.batch_size


def report_epoch(result: EpochResult) -> EpochReport:
    """Return an epoch's result as reports hold it."""
    return EpochReport(
        epoch=result.epoch,
        metrics=dict(result.metrics),
        seconds=result.seconds,
        numerics=result.numerics,
    )


def unfinished(folder: Path) -> Path:
    """Return where a training that will save its weights in `folder` keeps its checkpoints."""
    return folder / _SERIES


def fit(
    bench: Bench,
    *,
    spec: Spec,
    folder: Path,
    threads: int,
    shrinks: int = 0,
    keeps_limits: bool = False,
    team: TeamMember | None = None,
) -> Generator[FitEvent, None, dict[str, float]]:
    """Train a network from its initial weights, or go on, and save its weights.

    Args:
        bench: The slot's.
        spec: Expanded, with a trial's parameters in place.
        folder: Where the weights go; unfinished ones lie in a folder of it.
        threads: Threads to compute with, over all members of the team.
        shrinks: How many times the micro-batches are halved.
        keeps_limits: Whether a network is not trained that is past a static limit or cannot be
            pruned or quantized as asked, as in a search.
        team: This process's place among those that train together; None = alone.

    Returns:
        Metrics of the last epoch and static ones; the static ones alone where a limit is broken
        that can be told before training.

    Raises:
        NetworkUnfitError: The network of a trial cannot be pruned or quantized as asked.
        TrainerError: The training diverged or cannot work.
    """
    members = Team(team.rank, team.size, team.address) if team else Team()
    torch.set_num_threads(max(1, threads // members.size))
    static = _count(bench, spec)
    limits = trial_limits(spec) if keeps_limits else ()
    if find_violations([limit for limit in limits if limit.is_static], static):
        return static
    if keeps_limits and searches_network(spec):
        _check_network(bench, spec)
    course = _Course(bench, spec, make_recipe(spec, shrinks=shrinks), folder, members)
    with join(members, device=bench.device(spec)):
        metrics = yield from course.run()
    if members.rank == 0:
        yield from patiently(lambda: save_checkpoint(folder, course.model, metadata={}))
    return {**metrics, **static}


def _require_train(spec: Spec) -> Train:
    if spec.stages.train is None:
        raise ValueError("only a spec with stages.train can be trained")
    return spec.stages.train


def _check_network(bench: Bench, spec: Spec) -> None:
    try:
        check_compression(bench, spec)
    except UserError as error:
        raise NetworkUnfitError(str(error)) from error


def _count(bench: Bench, spec: Spec) -> dict[str, float]:
    model = bench.fresh_model(spec)
    example = make_example(bench.data(spec)).to(bench.device(spec))
    return {
        "params": float(count_parameters(model)),
        "flops": float(count_flops(model, example)),
    }


class _Course:
    """A training with its checkpoints."""

    def __init__(
        self, bench: Bench, spec: Spec, recipe: Recipe, folder: Path, members: Team
    ) -> None:
        self._bench = bench
        self._spec = spec
        self._recipe = recipe
        self._members = members
        settings = _require_train(spec).checkpoint
        self._every = settings.every_epochs
        self._series = CheckpointSeries(
            unfinished(folder),
            keep=settings.keep,
            owner=_owner(spec, bench.data(spec).digest),
        )
        self.model = bench.fresh_model(spec)

    def run(self) -> Generator[FitEvent, None, dict[str, float]]:
        """Train to the end, from the newest good checkpoint on; return the last metrics.

        An epoch is stored before it is told, and those of an earlier process are told again.
        """
        training = yield from self._resume()
        if training.history:
            last = training.history[-1]
            yield GoingOn(last.epoch, last.epochs)
        try:
            yield from map(report_epoch, training.history)
            for event in training.run():
                if not isinstance(event, EpochResult):
                    yield event
                    continue
                if event.epoch % self._every == 0 and event.epoch < event.epochs:
                    yield from self._save(training)
                yield report_epoch(event)
        except PreemptedError:
            # One that is diverging goes on from an older checkpoint: a later one would not help.
            with suppress(DivergedError):
                yield from self._save(training)
            raise
        return dict(training.history[-1].metrics)

    def _save(self, training: Training) -> Generator[StorageTrouble, None, None]:
        if self._members.rank == 0:
            save = partial(self._series.save, len(training.history), training.state())
            yield from patiently(save)

    def _resume(self) -> Generator[FitEvent, None, Training]:
        refused: list[str] = []
        state = yield from patiently(lambda: self._series.newest(refused.append))
        yield from map(CheckpointNotice, dict.fromkeys(refused))
        training = self._begin()
        if state is not None:
            try:
                training.restore(state)
            except CheckpointRefusedError as error:
                yield CheckpointNotice(str(error))
                self.model = self._bench.fresh_model(self._spec)
                training = self._begin()
        return training

    def _begin(self) -> Training:
        return Training(
            self.model,
            data=self._bench.data(self._spec),
            task=self._bench.task(self._spec),
            recipe=self._recipe,
            seed=self._spec.seed,
            team=self._members,
        )


def _owner(spec: Spec, digest: str) -> str:
    """Return a hash of what the weights depend on: not of how a step is split up, nor of where."""
    train = _require_train(spec).model_dump(
        mode="json", exclude={"accumulate_steps", "num_workers", "checkpoint"}
    )
    return fingerprint(
        {
            "seed": spec.seed,
            "digest": digest,
            "model": spec.model.model_dump(mode="json"),
            "dataset": spec.dataset.model_dump(mode="json"),
            "task": spec.task.model_dump(mode="json"),
            "train": train,
        }
    )
