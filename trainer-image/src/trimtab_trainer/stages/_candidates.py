"""From a file to a judged candidate: evaluated, measured beside its parent, accepted or rejected.

The driver's side of it; stages prune and quantize call it for what they made, the pipeline for
the dense model. Only figures of exported files count.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trimtab_api.metrics import metric_key
from trimtab_api.reports import BaselineReport, CandidateReport
from trimtab_api.selection import describe_constraint, find_margins, gain_against
from trimtab_api.stages import StageName, StageReason
from trimtab_api.v1alpha1.goals import Target
from trimtab_trainer.exporting.artifact import ExportedFile
from trimtab_trainer.ledger import open_ledger
from trimtab_trainer.reporting._base import CandidateMeasured
from trimtab_trainer.stages._base import Run
from trimtab_trainer.stages._work import evaluate_file, measure_files

__all__ = [
    "DENSE",
    "add_candidate",
    "file_path",
    "find_candidate",
    "judge",
    "measure_side_by_side",
    "restore_candidates",
    "set_baseline",
    "settle_lineage",
]

DENSE = "dense"
"""The id of the baseline."""


def add_candidate(
    run: Run,
    *,
    name: str,
    stage: StageName,
    parent: CandidateReport | None,
    file: ExportedFile,
    static: Mapping[str, float],
    details: Mapping[str, Any],
) -> CandidateReport:
    """Evaluate and measure a file, judge it, and put it among the run's candidates.

    Args:
        run: The run.
        name: Its id.
        stage: Who made it.
        parent: What it was made from, measured beside it; None for the dense model.
        file: The exported file.
        static: Parameters and FLOPs of the network.
        details: How it was made.

    Raises:
        ExportFailedError: The runtime refuses the file.
    """
    spec = run.final_spec
    evaluation = run.call(evaluate_file, spec=spec, path=file.path)
    metrics = {**evaluation["validation"], **static}
    for target in spec.targets:
        metrics[metric_key("size_mib", target.name)] = file.size_mib
        metrics[metric_key("size_compressed_mib", target.name)] = file.size_compressed_mib
    candidate = CandidateReport(
        id=name,
        stage=stage,
        parent=parent.id if parent else None,
        artifact=run.context.relative(file.path),
        digest=file.sha256,
        format=spec.stages.export.formats[0],
        metrics=metrics,
        test_metrics=evaluation["test"],
        details=dict(details),
    )
    beside = [parent, candidate] if parent else [candidate]
    measured = {entry.id: entry for entry in measure_side_by_side(run, beside)}
    if parent is None:
        set_baseline(run, measured[name])
    judged = judge(run, measured[name], parent=measured[parent.id] if parent else None)
    run.candidates.append(judged)
    run.reporter.publish(CandidateMeasured(judged))
    return judged


def set_baseline(run: Run, dense: CandidateReport) -> None:
    """Make a measured candidate the baseline, and open the ledger on it."""
    run.baseline = BaselineReport(
        artifact=dense.artifact,
        digest=dense.digest,
        metrics=dense.metrics,
        test_metrics=dense.test_metrics,
    )
    run.ledger = open_ledger(
        run.spec,
        baseline=dense.metrics[run.spec.objectives[0].metric],
        validation_samples=run.require_facts().samples["validation"],
    )


def measure_side_by_side(run: Run, candidates: Iterable[CandidateReport]) -> list[CandidateReport]:
    """Time candidates in turn on every target and return them with those figures.

    Where the dense model is among them, they get their speedup against it.
    """
    measured = list(candidates)
    for target in run.spec.targets:
        figures = run.call(
            measure_files,
            files={entry.id: run.context.root / entry.artifact for entry in measured},
            target=target,
            settings=run.spec.stages.benchmark,
        )
        measured = [_with_figures(entry, target, figures) for entry in measured]
    return measured


def _with_figures(
    candidate: CandidateReport, target: Target, figures: Mapping[str, Mapping[str, float | None]]
) -> CandidateReport:
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
        text = f"{ledger.metric} drops by {ledger.drop(value):.4f}, the budget is {ledger.allowed}"
        return StageReason.BUDGET_EXCEEDED, text
    if parent is not None:
        losses = [gain_against(candidate, parent, target.name) for target in run.spec.targets]
        if all(losses):
            return StageReason.NO_GAIN, losses[0]
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


def file_path(run: Run, name: str) -> Path:
    """Return where the ONNX file of a candidate goes."""
    return run.context.artifacts / f"{name}.onnx"
