"""Training speed (P-06): dtype Auto beside fp32 in our own loop and in a plain one.

    python -m bench.training [--quick] [--json FILE] [--data FOLDER] [--repeats N]

The ways take turns on the same images; a figure is the median over the repeats. Fashion-MNIST
is read from its IDX files; without them a quick run takes scikit-learn's digits.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

import torch
from torch import nn
from torch.nn import functional
from typing_extensions import override

from bench.measurement import (
    FASHION_MNIST,
    Cell,
    Figure,
    Goal,
    Report,
    Sense,
    make_parser,
    require_data,
)
from trimtab_api.v1alpha1.model import Dataset, Model
from trimtab_api.v1alpha1.train import LearningRateSchedule, Optimizer, PrecisionDtype
from trimtab_trainer.data._base import AbstractSplit, DataBundle
from trimtab_trainer.data.catalog import load_dataset
from trimtab_trainer.models.catalog import build_model
from trimtab_trainer.models.task import Classification
from trimtab_trainer.training.evaluation import evaluate
from trimtab_trainer.training.loop import EpochResult, Training
from trimtab_trainer.training.precision import read_hardware, resolve_precision
from trimtab_trainer.training.recipe import PrecisionSettings, Recipe
from trimtab_trainer.training.seeding import seed_everything

__all__ = ["Settings", "main"]

_ROOT = Path(__file__).parents[1]
_SEED = 1
_WATCHED = 32
"""Samples evaluated after an epoch: few, so that its time is that of training."""
_TOLERANCE = 1.0
"""Points of accuracy that a short training may lose to chance."""

_PAIR = (PrecisionDtype.FP32, PrecisionDtype.AUTO)
_PLAIN = "plain loop"


@dataclass(frozen=True, slots=True)
class Network:
    """A network and how much faster Auto should train it."""

    name: str
    builtin: str | None
    speedup: float

    def describe(self, data: DataBundle) -> Model:
        """Return it as the manifest would have it."""
        if self.builtin is not None:
            return Model(builtin=self.builtin)
        channels = data.image.channels if data.image else 1
        arguments = {"channels": channels, "num_classes": data.num_classes or 0}
        return Model(entrypoint="bench.resnet8:ResNet8", args=arguments)


_NETWORKS = (
    Network("ResNet-8", None, 1.8),
    Network("ResNet-18", "torchvision/resnet18", 1.15),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is run."""

    threads: tuple[int, ...]
    repeats: int
    batch_size: int
    images: int
    """Images of one repeat."""
    epochs: int
    """Of the trainings whose accuracy is compared."""
    epoch_images: int
    seeds: int
    test_images: int
    half_images: int
    """Images of the one epoch in fp16."""


_FULL = Settings(
    threads=(1, 2),
    repeats=5,
    batch_size=128,
    images=2048,
    epochs=2,
    epoch_images=10_000,
    seeds=3,
    test_images=10_000,
    half_images=512,
)
_QUICK = Settings(
    threads=(1,),
    repeats=2,
    batch_size=32,
    images=64,
    epochs=1,
    epoch_images=128,
    seeds=1,
    test_images=256,
    half_images=32,
)


@dataclass(frozen=True, slots=True)
class _FirstSamples(AbstractSplit):
    """The beginning of a split."""

    split: AbstractSplit
    samples: int

    @override
    def __len__(self) -> int:
        return min(self.samples, len(self.split))

    @override
    def batch(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.split.batch(indices)


def load_data(folder: Path, *, is_quick: bool) -> DataBundle:
    """Return Fashion-MNIST, or digits where a quick run finds no such folder.

    Raises:
        DatasetUnavailableError: The folder or a file of it is missing.
    """
    has_digits = is_quick and not folder.is_dir()
    dataset = Dataset(builtin="digits") if has_digits else Dataset(idx=folder.resolve().as_uri())
    return load_dataset(dataset, seed=_SEED, code_dir=_ROOT, data_root=_ROOT)


def shorten(data: DataBundle, images: int) -> DataBundle:
    """Return the first images of the training split, and few to watch an epoch by."""
    return replace(
        data,
        train=_FirstSamples(data.train, images),
        validation=_FirstSamples(data.validation, _WATCHED),
    )


def build(network: Network, data: DataBundle, seed: int) -> nn.Module:
    """Return a network with its initial weights."""
    seed_everything(seed)
    return build_model(
        network.describe(data), data=data, image_size=None, code_dir=_ROOT, data_root=_ROOT
    )


def train(
    model: nn.Module, data: DataBundle, dtype: PrecisionDtype, *, settings: Settings, epochs: int
) -> EpochResult:
    """Train a model in place and return its last epoch."""
    recipe = Recipe(
        epochs=epochs,
        batch_size=settings.batch_size,
        optimizer=Optimizer.ADAMW,
        learning_rate=2e-3,
        weight_decay=1e-2,
        momentum=0.9,
        schedule=LearningRateSchedule.COSINE,
        precision=PrecisionSettings(dtype=dtype),
    )
    training = Training(model, data=data, task=Classification(), recipe=recipe, seed=_SEED)
    results = [event for event in training.run() if isinstance(event, EpochResult)]
    return results[-1]


def train_plainly(model: nn.Module, data: DataBundle, settings: Settings) -> float:
    """Train for an epoch in the loop that one writes by hand; return its seconds."""
    start = time.perf_counter()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    model.train()
    for indices in torch.split(torch.randperm(len(data.train)), settings.batch_size):
        images, labels = data.train.batch(indices)
        optimizer.zero_grad()
        torch.autograd.backward(functional.cross_entropy(model(images), labels))
        optimizer.step()
    evaluate(model, data.validation, Classification())
    return time.perf_counter() - start


def measure_speed(
    network: Network, data: DataBundle, settings: Settings, threads: int
) -> dict[str, float]:
    """Return images per second by way; the ways take turns, after one epoch that is not timed."""
    torch.set_num_threads(threads)
    few = shorten(data, settings.images)
    models = {way: build(network, few, _SEED) for way in (_PLAIN, *_PAIR)}
    seconds: dict[str, list[float]] = {way: [] for way in models}
    for _ in range(1 + settings.repeats):
        seconds[_PLAIN].append(train_plainly(models[_PLAIN], few, settings))
        for dtype in _PAIR:
            ended = train(models[dtype], few, dtype, settings=settings, epochs=1)
            seconds[dtype].append(ended.seconds)
    return {way: len(few.train) / median(times[1:]) for way, times in seconds.items()}


def measure_accuracy(
    network: Network, data: DataBundle, settings: Settings
) -> dict[PrecisionDtype, float]:
    """Return the accuracy in percent after equal trainings: the median over seeds."""
    torch.set_num_threads(max(settings.threads))
    few = shorten(data, settings.epoch_images)
    test = _FirstSamples(data.test or data.validation, settings.test_images)
    found: dict[PrecisionDtype, list[float]] = {dtype: [] for dtype in _PAIR}
    for seed in range(settings.seeds):
        for dtype in _PAIR:
            model = build(network, few, seed)
            train(model, few, dtype, settings=settings, epochs=settings.epochs)
            scores = evaluate(model, test, Classification())
            found[dtype].append(100 * scores["accuracy"])
    return {dtype: median(values) for dtype, values in found.items()}


def add_network(report: Report, network: Network, data: DataBundle, settings: Settings) -> None:
    """Measure a network and report it."""
    # Where the hardware has no bf16, or AMX, Auto is fp32 and there is nothing to gain.
    is_faster = _resolve_auto() is not PrecisionDtype.FP32
    rows: list[dict[str, Cell]] = []
    for threads in settings.threads:
        speed = measure_speed(network, data, settings, threads)
        auto = speed[PrecisionDtype.AUTO]
        ratios = {
            "Auto / fp32": auto / speed[PrecisionDtype.FP32],
            "Auto / plain loop": auto / speed[_PLAIN],
        }
        rows.append(
            {
                "threads": threads,
                "plain loop in fp32, images/s": speed[_PLAIN],
                "fp32, images/s": speed[PrecisionDtype.FP32],
                "Auto, images/s": auto,
                **ratios,
            }
        )
        goal = Goal(Sense.AT_LEAST, network.speedup) if is_faster else None
        for what, ratio in ratios.items():
            name = f"{network.name}, {what}, {threads} thread{'s' * (threads - 1)}"
            report.add_figure(Figure(name, ratio, "×", goal))
    report.add_table(f"{network.name}: speed of training", rows)
    accuracy = measure_accuracy(network, data, settings)
    report.add_table(
        f"{network.name}: accuracy on the test split",
        [{f"{dtype}, %": value for dtype, value in accuracy.items()}],
    )
    lost = accuracy[PrecisionDtype.FP32] - accuracy[PrecisionDtype.AUTO]
    goal = Goal(Sense.AT_MOST, _TOLERANCE)
    report.add_figure(Figure(f"{network.name}, accuracy that Auto loses", lost, "points", goal))


def _resolve_auto() -> PrecisionDtype:
    return resolve_precision(PrecisionDtype.AUTO, read_hardware("cpu")).dtype


def add_half_precision(report: Report, data: DataBundle, settings: Settings) -> None:
    """Report the loss of an epoch in fp16 beside fp32's: on a CPU it need only be right."""
    torch.set_num_threads(max(settings.threads))
    few = shorten(data, settings.half_images)
    rows: list[dict[str, Cell]] = []
    for dtype in (PrecisionDtype.FP32, PrecisionDtype.FP16):
        model = build(_NETWORKS[0], few, _SEED)
        ended = train(model, few, dtype, settings=settings, epochs=1)
        rows.append(
            {
                "dtype": ended.numerics.dtype,
                "emulated": str(ended.numerics.emulated),
                "training loss": ended.metrics["train_loss"],
                "loss scale": ended.numerics.loss_scale,
                "overflows": ended.numerics.overflows,
            }
        )
    report.add_table(f"{_NETWORKS[0].name}: one epoch of {len(few.train)} images in fp16", rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = make_parser("Training in dtype Auto beside fp32.")
    parser.add_argument("--data", type=Path, default=FASHION_MNIST, help="folder of IDX files")
    parser.add_argument("--repeats", type=int, help="timed epochs of each type")
    options = parser.parse_args(arguments)
    settings = _QUICK if options.quick else _FULL
    if options.repeats is not None:
        settings = replace(settings, repeats=options.repeats)
    if not options.quick:
        require_data(parser, options.data)
    data = load_data(options.data, is_quick=options.quick)
    report = Report("training (P-06)", {**asdict(settings), "Auto is": str(_resolve_auto())})
    for network in _NETWORKS:
        add_network(report, network, data, settings)
    add_half_precision(report, data, settings)
    report.notes.append(
        f"Speed is of epochs in our loop, with {_WATCHED} images evaluated after each; the first"
        " epoch of each type is not timed."
    )
    report.publish(options.json)


if __name__ == "__main__":
    main()
