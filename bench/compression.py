"""Compression (P-07): a job of Trimtab beside what is done by hand, at equal accuracy.

    python -m bench.compression [--quick] [--json FILE] [--data FOLDER] [--models NAME ...]
                                [--epochs N]

Two networks are trained on Fashion-MNIST by a job of Trimtab; the rivals start from its dense
weights, see the same samples and fine-tune for as long by the same recipe. All files of a network
are timed in turn. A third network has real ImageNet weights and is only quantized. A quick run
takes scikit-learn's digits.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from bench.contest import (
    BY_HAND,
    DEFAULT,
    FP32,
    OURS,
    Entry,
    Stopwatch,
    find_best,
    loses_at_most,
    measure_costs,
)
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
from bench.our_compression import (
    MAX_DROP,
    Plan,
    Shipped,
    finetune,
    load_data,
    load_dense,
    run_trimtab,
)
from bench.photographs import PHOTOGRAPHS
from bench.post_training import OURS_KEPT, Settings, quantize_pretrained
from bench.rival_compression import Batch, quantize_by_default, quantize_by_hand
from bench.torch_pruning_steps import prune_in_steps
from trimtab_trainer.benchmarking.runners import open_runner
from trimtab_trainer.data._base import DataBundle
from trimtab_trainer.data.subset import choose_subset
from trimtab_trainer.exporting.onnx_graph import export_onnx
from trimtab_trainer.models.task import Classification
from trimtab_trainer.training.evaluation import evaluate

__all__ = ["main"]

_PRUNED = "Torch-Pruning 0.5, float"
_PRUNED_BY_HAND = "Torch-Pruning 0.5, then U8S8 by hand"

_RIVAL_RATIO = 0.5
_OPSET = 18
_CALIBRATION_BATCH = 64
_PRETRAINED = "efficientnet_lite0"
_CROPS = Settings(calibration=128, validation=256, test=512, least_agreement=0.92, repeats=200)
_QUICK_CROPS = Settings(calibration=8, validation=8, test=16, least_agreement=0.9, repeats=10)
_HOW_TO_READ = (
    "All files of a network are timed in turn, in one process with one thread. The best rival is"
    " the one of least size × latency among those that lose at most the allowed accuracy on the"
    " validation split; the dense fp32 file is one of them."
)


def plan_trainings(data: Path, *, is_quick: bool) -> dict[str, Plan]:
    """Return what is trained, by the name that `--models` takes."""
    if is_quick:
        return {
            "small-cnn": Plan(
                builtin="small-cnn",
                dataset={"builtin": "digits"},
                epochs=3,
                steps=1,
                finetune_epochs=1,
                params_reduction=0.5,
                repeats=50,
                calibration_samples=64,
            )
        }
    resnet = Plan(
        builtin="torchvision/resnet18",
        dataset={"idx": data.resolve().as_uri()},
        epochs=4,
        steps=2,
        finetune_epochs=2,
        params_reduction=0.9,
        repeats=500,
        calibration_samples=512,
    )
    mobilenet = replace(
        resnet, builtin="torchvision/mobilenet_v3_small", epochs=5, params_reduction=0.8
    )
    return {"resnet18": resnet, "mobilenet_v3_small": mobilenet}


def compete(plan: Plan, folder: Path, watch: Stopwatch) -> tuple[list[Entry], Shipped]:
    """Let ours and the rivals compress one network; return their files' figures, fp32 first."""
    with watch.time("trimtab's whole job"):
        shipped = run_trimtab(plan, folder)
    data = load_data(plan)
    files = {FP32: shipped.dense, OURS: shipped.file}
    files |= _let_rivals_work(plan, data, shipped, folder, watch)
    with watch.time("evaluating and timing all files"):
        costs = measure_costs(files, repeats=plan.repeats)
        return [
            Entry(way, costs[way], **_score(path, data)) for way, path in files.items()
        ], shipped


def _let_rivals_work(
    plan: Plan, data: DataBundle, shipped: Shipped, folder: Path, watch: Stopwatch
) -> dict[str, Path]:
    batches = _draw_samples(plan, data)
    files = {
        DEFAULT: folder / "default.onnx",
        BY_HAND: folder / "by-hand.onnx",
        _PRUNED: folder / "pruned.onnx",
        _PRUNED_BY_HAND: folder / "pruned-by-hand.onnx",
    }
    with watch.time("quantizing by hand"):
        quantize_by_default(shipped.dense, files[DEFAULT], batches)
        quantize_by_hand(shipped.dense, files[BY_HAND], batches)
    with watch.time("Torch-Pruning with its fine-tuning"):
        model = load_dense(plan, data, folder)
        example, _ = data.train.batch(torch.arange(2))
        for step in prune_in_steps(model, example, ratio=_RIVAL_RATIO, steps=plan.steps):
            finetune(plan, model, data, step)
        export_onnx(model, example=example, path=files[_PRUNED], opset=_OPSET)
    with watch.time("quantizing by hand"):
        quantize_by_hand(files[_PRUNED], files[_PRUNED_BY_HAND], batches)
    return files


def _draw_samples(plan: Plan, data: DataBundle) -> list[Batch]:
    """Return the samples that our job calibrates on."""
    subset = choose_subset(len(data.train), plan.calibration_samples, plan.spec.seed)
    parts = torch.split(subset.indices, _CALIBRATION_BATCH)
    return [data.train.batch(part)[0].numpy() for part in parts]


def _score(path: Path, data: DataBundle) -> dict[str, float]:
    runner = open_runner(path, threads=1)
    validation = evaluate(runner, data.validation, Classification())["accuracy"]
    test = evaluate(runner, data.test or data.validation, Classification())["accuracy"]
    return {"score": validation, "test_score": test}


def add_network(report: Report, name: str, plan: Plan) -> None:
    """Run the contest of one network and report it."""
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(prefix="trimtab-compression-") as folder:
        entries, shipped = compete(plan, Path(folder), watch)
    dense, ours, *rivals = entries
    best = find_best(rivals, dense, MAX_DROP)
    report.add_table(f"{name}: files", [_describe(entry, dense, "accuracy") for entry in entries])
    watch.seconds |= {f"trimtab, stage {stage}": spent for stage, spent in shipped.seconds.items()}
    report.add_table(f"{name}: where time goes", _describe_times(watch.seconds))
    report.notes.append(f"{name}: trimtab ships {shipped.candidate}; the best rival is {best.way}.")
    for figure in _judge(name, dense, ours, best):
        report.add_figure(figure)


def _judge(name: str, dense: Entry, ours: Entry, best: Entry) -> Iterator[Figure]:
    product = ours.product / best.product
    faster = dense.cost.latency_ms / ours.cost.latency_ms
    # Digits of rounding must not decide at the limit.
    lost = round(100 * (dense.score - ours.score), 6)
    of_rival = f"{name}: trimtab's size × latency, of the best rival's"
    yield Figure(of_rival, product, "", Goal(Sense.AT_MOST, 1))
    yield Figure(f"{name}: trimtab's speed, of fp32's", faster, "×", Goal(Sense.AT_LEAST, 1))
    allowed = Goal(Sense.AT_MOST, 100 * MAX_DROP)
    yield Figure(f"{name}: accuracy that trimtab loses", lost, "points", allowed)


def _describe(entry: Entry, dense: Entry, score: str) -> dict[str, Cell]:
    return {
        "way": entry.way,
        "size, MiB": entry.cost.size_mib,
        "p50, ms": entry.cost.latency_ms,
        "smaller, ×": dense.cost.size_mib / entry.cost.size_mib,
        "faster, ×": dense.cost.latency_ms / entry.cost.latency_ms,
        "size × p50, of fp32's": entry.product / dense.product,
        f"{score}, validation, %": 100 * entry.score,
        f"{score}, test, %": 100 * entry.test_score,
        "as accurate": "yes" if loses_at_most(entry, dense, MAX_DROP) else "no",
    }


def _describe_times(seconds: Mapping[str, float]) -> list[dict[str, Cell]]:
    return [{"work": what, "seconds": round(value, 1)} for what, value in seconds.items()]


def add_pretrained(report: Report, settings: Settings) -> None:
    """Quantize the network with real weights in every way and report it."""
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(prefix="trimtab-compression-") as folder:
        entries = quantize_pretrained(settings, Path(folder), watch)
    by_way = {entry.way: entry for entry in entries}
    dense, best = by_way[FP32], max((by_way[DEFAULT], by_way[BY_HAND]), key=lambda e: e.test_score)
    report.add_table(
        f"{_PRETRAINED}: files", [_describe(entry, dense, "agreement") for entry in entries]
    )
    report.add_table(f"{_PRETRAINED}: where time goes", _describe_times(watch.seconds))
    for way in (OURS, OURS_KEPT):
        ours = by_way[way]
        gained = 100 * (ours.test_score - best.test_score)
        # Without layers in float both are the same technique, so that chance decides.
        goal = Goal(Sense.AT_LEAST, 0) if way == OURS_KEPT else None
        report.add_figure(
            Figure(f"{_PRETRAINED}, {way}: agreement less the best rival's", gained, "points", goal)
        )
        faster = dense.cost.latency_ms / ours.cost.latency_ms
        name = f"{_PRETRAINED}, {way}: speed, of fp32's"
        report.add_figure(Figure(name, faster, "×", Goal(Sense.AT_LEAST, 1)))
    report.notes.append(
        f"{_PRETRAINED}: agreement with the float file on {settings.test} test crops of the two"
        f" photographs {', '.join(PHOTOGRAPHS)} is weak evidence: it says that outputs stay close"
        " on such images, not how accurate a file is on ImageNet."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = make_parser("A job of Trimtab beside compression by hand.")
    parser.add_argument("--data", type=Path, default=FASHION_MNIST, help="folder of IDX files")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="only these networks")
    parser.add_argument("--epochs", type=int, help="epochs of the dense training")
    options = parser.parse_args(arguments)
    plans = plan_trainings(options.data, is_quick=options.quick)
    known = [*plans, _PRETRAINED]
    names = options.models or known
    if unknown := sorted(set(names) - set(known)):
        parser.error(f"--models must be among {', '.join(known)} but got {', '.join(unknown)}")
    if not options.quick and set(names) != {_PRETRAINED}:
        require_data(parser, options.data)
    if options.epochs is not None:
        plans = {name: replace(plan, epochs=options.epochs) for name, plan in plans.items()}
    report = Report("compression (P-07)", {"networks": ", ".join(names), "max drop": MAX_DROP})
    report.notes.append(_HOW_TO_READ)
    for name in names:
        if name == _PRETRAINED:
            add_pretrained(report, _QUICK_CROPS if options.quick else _CROPS)
        else:
            add_network(report, name, plans[name])
    report.publish(options.json)


if __name__ == "__main__":
    main()
