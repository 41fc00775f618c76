"""From a file to a judged candidate: evaluated, measured beside its parent, accepted or rejected.

The driver's side of it; stages prune and quantize call it for what they made, the pipeline for
the dense model. Only figures of exported files count.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trimtab_api.metrics import metric_key
from trimtab_api.reports import BaselineReport, CandidateReport, FileReport
from trimtab_api.selection import (
    describe_constraint,
    file_for,
    find_margins,
    find_no_gain,
    metric_direction,
)
from trimtab_api.stages import StageName, StageReason
from trimtab_api.techniques import DENSE, plan_target_formats
from trimtab_api.v1alpha1.goals import Direction, Target, TargetDevice
from trimtab_api.wording import render_distance
from trimtab_trainer.errors import ExportFailedError, TargetUnmeasuredError
from trimtab_trainer.ledger import open_ledger
from trimtab_trainer.reporting._base import CandidateMeasured
from trimtab_trainer.stages._base import Run
from trimtab_trainer.stages._file_work import count_network
from trimtab_trainer.stages._files import Recipe, write_files
from trimtab_trainer.stages._work import measure_files

__all__ = [
    "add_candidate",
    "find_candidate",
    "judge",
    "measure_side_by_side",
    "measure_target",
    "restore_candidates",
    "set_baseline",
    "settle_lineage",
]

_NO_DETAILS: Mapping[str, Any] = {}


def add_candidate(
    run: Run, recipe: Recipe, *, stage: StageName, details: Mapping[str, Any] = _NO_DETAILS
) -> CandidateReport:
    """Write, evaluate and measure a candidate, judge it, and put it among the run's.

    Args:
        run: The run.
        recipe: What it is made of.
        stage: Who makes it.
        details: How its network was made.

    Raises:
        ExportFailedError: No format that a target takes can be written.
        CalibrationInvalidError: Its technique finds no usable ranges.
        OperatorUnsupportedError: Its technique applies to no layer.
    """
    formats = plan_target_formats(run.final_spec)
    written = write_files(run, recipe, formats)
    used = [file for file in written.files if file.format in formats]
    if not used:
        raise written.errors[0]
    parent = _find_parent(run, recipe)
    static = _count(run, recipe)
    share = static.pop("linear_share")
    candidate = CandidateReport(
        id=recipe.name,
        stage=stage,
        parent=parent.id if parent else None,
        artifact=used[0].artifact,
        digest=used[0].digest,
        format=used[0].format,
        files=tuple(written.files),
        metrics={**_worst_metrics(run, used), **static},
        test_metrics=written.test_metrics[used[0].format],
        details={"linearShare": share, **details, **written.details},
    )
    candidate = _with_sizes(run, candidate)
    beside = [parent, candidate] if parent else [candidate]
    # A gate needs times; those of this machine stand in for a target that is placed elsewhere.
    timed = measure_side_by_side(run, beside, run.spec.targets)
    measured = {entry.id: entry for entry in timed}
    if parent is None:
        set_baseline(run, measured[recipe.name])
    judged = judge(run, measured[recipe.name], parent=measured[parent.id] if parent else None)
    run.candidates.append(judged)
    run.reporter.publish(CandidateMeasured(judged))
    return judged


def _find_parent(run: Run, recipe: Recipe) -> CandidateReport | None:
    """The network's float copy, and of the pruned network the dense one."""
    if recipe.technique is not None:
        return find_candidate(run, recipe.parent)
    return find_candidate(run, DENSE) if recipe.name != DENSE else None


def _worst_metrics(run: Run, files: Sequence[FileReport]) -> dict[str, float]:
    """Return the validation metrics that a candidate has in all its files: each the worst."""
    metrics = dict(files[0].metrics)
    for name, first in files[0].metrics.items():
        try:
            direction = metric_direction(name, run.spec.objectives)
        except KeyError:  # which way a task's own metric is better is only known of objectives
            continue
        values = [first, *(file.metrics[name] for file in files[1:] if name in file.metrics)]
        metrics[name] = min(values) if direction is Direction.MAXIMIZE else max(values)
    return metrics


def _with_sizes(run: Run, candidate: CandidateReport) -> CandidateReport:
    metrics = dict(candidate.metrics)
    for target in run.spec.targets:
        file = file_for(candidate, target)
        if file is not None:
            metrics[metric_key("size_mib", target.name)] = file.size_mib
            metrics[metric_key("size_compressed_mib", target.name)] = file.size_compressed_mib
    return candidate.model_copy(update={"metrics": metrics})


def _count(run: Run, recipe: Recipe) -> dict[str, float]:
    counted: dict[str, float] = run.call(
        count_network, spec=run.final_spec, checkpoint=run.checkpoint_of(recipe.parent)
    )
    return counted


def set_baseline(run: Run, dense: CandidateReport) -> None:
    """Make a measured candidate the baseline, and open the ledger on it."""
    run.baseline = BaselineReport(
        artifact=dense.artifact,
        digest=dense.digest,
        metrics=dense.metrics,
        test_metrics=dense.test_metrics,
    )
    spent = run.ledger.spent if run.ledger else {}
    run.ledger = open_ledger(
        run.spec,
        baseline=dense.metrics[run.spec.objectives[0].metric],
        validation_samples=run.require_facts().samples["validation"],
    )
    run.ledger.spent.update(spent)


def measure_side_by_side(
    run: Run, candidates: Iterable[CandidateReport], targets: Sequence[Target]
) -> list[CandidateReport]:
    """Time candidates in turn on these targets and return them with those figures.

    Where the dense model is among them, they get their speedup against it. A target whose
    measuring fails has no figures, and a warning.
    """
    measured = list(candidates)
    for target in targets:
        files = {
            entry.id: run.context.root / file.artifact
            for entry in measured
            if (file := file_for(entry, target)) is not None
        }
        figures, device = measure_target(run, target, files)
        if device is not None:
            run.devices[target.name] = device
        measured = [_with_figures(entry, target, figures) for entry in measured]
    return measured


def measure_target(
    run: Run, target: Target, files: Mapping[str, Path]
) -> tuple[dict[str, dict[str, float | None]], TargetDevice | None]:
    """Time files in turn as a target says.

    Returns:
        Figures by name of the file, and where they were measured; nothing, with a warning, where
        that fails.
    """
    if not files:
        return {}, None
    try:
        reply = run.call(
            measure_files, files=files, target=target, settings=run.spec.stages.benchmark
        )
    except (TargetUnmeasuredError, ExportFailedError) as error:
        run.warn(f"TargetUnmeasured: {target.name}: {error}")
        return {}, None
    return reply["figures"], TargetDevice(reply["device"])


def _with_figures(
    candidate: CandidateReport, target: Target, figures: Mapping[str, Mapping[str, float | None]]
) -> CandidateReport:
    if candidate.id not in figures:
        return candidate
    own = {name: value for name, value in figures[candidate.id].items() if value is not None}
    if DENSE in figures:
        dense = figures[DENSE]["latency_p50_ms"] or 0.0
        own["speedup"] = dense / own["latency_p50_ms"]
    keyed = {metric_key(name, target.name): value for name, value in own.items()}
    return candidate.model_copy(update={"metrics": {**candidate.metrics, **keyed}})


def judge(
    run: Run, candidate: CandidateReport, *, parent: CandidateReport | None
) -> CandidateReport:
    """Return the candidate with its verdict: feasible, or rejected with the figures."""
    reason, rejected = _find_rejection(run, candidate, parent)
    return candidate.model_copy(
        update={"feasible": rejected is None, "rejected": rejected, "reason": reason}
    )


def _find_rejection(
    run: Run, candidate: CandidateReport, parent: CandidateReport | None
) -> tuple[StageReason | None, str | None]:
    ledger = run.require_ledger()
    value = candidate.metrics[ledger.metric]
    if not ledger.is_within(value, ledger.allowed):
        drop = render_distance(ledger.metric, ledger.drop(value))
        budget = render_distance(ledger.metric, ledger.allowed or 0.0)
        text = f"{ledger.metric} is {drop} worse, the budget is {budget}"
        return StageReason.BUDGET_EXCEEDED, text
    if parent is not None:
        loss = find_no_gain(candidate, parent, run.spec.targets)
        if loss is not None:
            return StageReason.NO_GAIN, loss
    return None, _describe_misses(run, candidate)


def _describe_misses(run: Run, candidate: CandidateReport) -> str | None:
    baseline = run.baseline.metrics if run.baseline else {}
    missed = [
        f"{describe_constraint(margin.constraint, target.name)} is missed: {margin.value:.4g}"
        for target in run.spec.targets
        for margin in find_margins(candidate.metrics, baseline, run.spec, target.name)
        # A gain against the baseline is only known after the final benchmark.
        if not margin.met and margin.value is not None
    ]
    return "; ".join(missed) or None


def settle_lineage(run: Run, candidate: CandidateReport) -> None:
    """Book in the ledger what each stage on the way from the dense model to a candidate spent."""
    ledger = run.require_ledger()
    chain = [candidate]
    while (parent := find_candidate(run, chain[0].parent or "")) is not None:
        chain.insert(0, parent)
    ledger.spent.clear()
    for entry in chain[1:]:
        ledger.settle(StageName(entry.stage), entry.metrics[ledger.metric])


def find_candidate(run: Run, name: str) -> CandidateReport | None:
    """Return a candidate by its id."""
    return next((entry for entry in run.candidates if entry.id == name), None)


def restore_candidates(run: Run, data: Mapping[str, Any]) -> None:
    """Put stored candidates back into the run, the dense one as its baseline."""
    for document in data.get("candidates", []):
        candidate = CandidateReport.model_validate(document)
        if candidate.id == DENSE:
            set_baseline(run, candidate)
        run.candidates.append(candidate)
