"""The operator derives from a report what a local run derives from its own figures."""

from collections.abc import Mapping
from typing import Any

import pytest

from candidate_builder import TARGET
from progress_builder import make_progress, make_target_report, summarize_run
from report_builder import make_manifest, make_partial_parts, make_parts
from trimtab_api.candidates import select_metrics, summarize_candidate
from trimtab_api.outcome import summarize_report
from trimtab_api.progress import ProgressReport, TargetReport
from trimtab_api.selection import find_no_gain
from trimtab_api.stages import STAGE_ORDER, StageName, StageState
from trimtab_api.v1alpha1.conditions import ConditionType
from trimtab_api.v1alpha1.goals import Profile, Runtime, TargetDevice
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import BaselineStatus, Status, TargetState
from trimtab_api.validation import parse_job

NOW = "2026-11-24T10:05:00Z"
SAME = (
    "stage",
    "trials",
    "best",
    "baseline",
    "budget",
    "pareto",
    "pareto_total",
    "stages",
    "result",
    "precision",
    "gpu_seconds",
    "failures",
)
PI = {"name": "pi", "profile": "cpu-edge", "nodeSelector": {"kubernetes.io/arch": "arm64"}}


def make_spec(**changes: Any) -> Spec:
    return parse_job(make_manifest(**changes)).spec


def summarize(
    report: ProgressReport | None,
    *,
    spec: Spec | None = None,
    targets: Mapping[str, TargetReport] | None = None,
    finished: bool = True,
) -> Status:
    return summarize_report(spec or make_spec(), report, targets or {}, finished=finished, now=NOW)


def placed_spec() -> Spec:
    """Return the spec of a job with one target of its own Job, and a limit there."""
    return make_spec(
        targets=[{"name": TARGET, "profile": "cpu-edge"}, PI],
        constraints=[
            {"metric": "accuracy", "maxDrop": 0.01},
            {"metric": "speedup", "target": "pi", "min": 2},
        ],
    )


def placed_report() -> ProgressReport:
    """Return what a driver tells of such a job: sizes on both targets, times on its own."""
    report = make_progress()
    candidates = tuple(
        entry.model_copy(
            update={"metrics": {**entry.metrics, "size_mib@pi": entry.metrics["size_mib@edge"]}}
        )
        for entry in report.candidates
    )
    return report.model_copy(update={"candidates": candidates})


def goals(status: Status) -> tuple[str, str]:
    (condition,) = status.conditions
    assert condition.type is ConditionType.GOALS_MET
    return condition.status, condition.reason


@pytest.mark.parametrize("make", [make_parts, make_partial_parts])
def test_it_tells_the_same_as_the_status_of_a_local_run(make: Any) -> None:
    parts = make()
    local = parts.build().status
    found = summarize(summarize_run(parts), finished=parts.finished)
    for name in SAME:
        assert getattr(found, name) == getattr(local, name), name
    for mine, theirs in zip(found.targets, local.targets, strict=True):
        assert mine.model_copy(update={"metrics": {}}) == theirs.model_copy(update={"metrics": {}})
        assert mine.metrics.items() <= theirs.metrics.items()
    assert goals(found) == (local.conditions[0].status, local.conditions[0].reason)


def test_lifecycle_is_left_to_the_operator() -> None:
    status = summarize(make_progress())
    assert (status.state, status.attempt, status.start_time, status.cluster) == (None,) * 4


def test_before_the_first_report_everything_waits() -> None:
    status = summarize(None, finished=False)
    assert [stage.name for stage in status.stages] == list(STAGE_ORDER)
    assert {stage.state for stage in status.stages} == {StageState.WAITING}
    assert status.trials is not None
    assert status.trials.summary == "0/16"
    assert [target.state for target in status.targets] == [TargetState.WAITING]
    assert goals(status) == ("Unknown", "NotMeasured")


def test_while_it_runs_the_driver_says_what_it_does() -> None:
    report = make_progress(outcome=None, stage=StageName.BENCHMARK)
    status = summarize(report, finished=False)
    assert (status.message, status.stage) == ("measures edge", StageName.BENCHMARK)
    assert status.result is None


def test_stages_stand_in_their_order_whatever_the_report_says() -> None:
    report = make_progress()
    status = summarize(report.model_copy(update={"stages": report.stages[3:1:-1]}))
    assert [stage.name for stage in status.stages] == list(STAGE_ORDER)
    assert status.stages[0].state is StageState.WAITING
    assert status.stages[2] == report.stages[2]


def test_a_placed_target_is_measured_once_the_driver_succeeded() -> None:
    running = placed_report().model_copy(update={"outcome": None})
    states = [
        entry.state for entry in summarize(running, spec=placed_spec(), finished=False).targets
    ]
    assert states == [TargetState.WAITING, TargetState.WAITING]
    status = summarize(placed_report(), spec=placed_spec(), finished=False)
    assert [entry.state for entry in status.targets] == [
        TargetState.WAITING,
        TargetState.MEASURING,
    ]


def test_the_figures_of_a_placed_target_decide_what_ships_there() -> None:
    measured = {"pi": make_target_report()}
    status = summarize(placed_report(), spec=placed_spec(), targets=measured)
    edge, pi = status.targets
    assert (pi.state, pi.candidate, pi.goals_met) == (TargetState.MEASURED, "pruned-int8", True)
    assert (pi.node, pi.device, pi.proxy) == ("pi-1", TargetDevice.CPU, False)
    assert pi.metrics["speedup"] == 3.0
    assert (edge.node, edge.proxy) == ("bench-host", True)
    assert goals(status) == ("True", "AllConstraintsMet")
    assert status.baseline is not None
    assert status.baseline.metrics["latency_p50_ms@pi"] == 3.0


def test_a_limit_missed_on_a_placed_target_makes_a_candidate_infeasible() -> None:
    slow = make_target_report()
    figures = {**slow.candidates, "pruned-int8": {"latency_p50_ms": 2.9, "speedup": 1.03}}
    measured = {"pi": slow.model_copy(update={"candidates": figures})}
    status = summarize(placed_report(), spec=placed_spec(), targets=measured)
    feasible = {point.id: point.feasible for point in status.pareto}
    assert feasible["pruned-int8"] is False
    assert goals(status) == ("False", "ConstraintMissed")
    assert status.result is not None


def test_f79_a_target_whose_node_never_came_is_unmeasured_and_the_others_ship() -> None:
    status = summarize(placed_report(), spec=placed_spec())
    assert [entry.state for entry in status.targets] == [
        TargetState.MEASURED,
        TargetState.UNMEASURED,
    ]
    assert goals(status) == ("False", "TargetUnmeasured")
    assert status.result is not None


def test_a_target_without_profile_has_that_of_the_workers() -> None:
    spec = make_spec(targets=[{"name": TARGET}], constraints=[], stages={"train": {"epochs": 1}})
    report = make_progress(profile=Profile.GPU_SERVER)
    files = [
        file.model_copy(update={"format": form, "artifact": f"artifacts/dense.{form}"})
        for file in report.candidates[0].files
        for form in ("onnx", "pt2")
    ]
    dense = report.candidates[0].model_copy(update={"files": tuple(files)})
    status = summarize(report.model_copy(update={"candidates": (dense,)}), spec=spec)
    assert status.targets[0].format == "pt2"  # what torch takes, the runtime of a GPU server


def test_f44_a_candidate_without_the_primary_metric_does_not_ship() -> None:
    report = make_progress()
    forged = tuple(
        entry.model_copy(update={"metrics": {"size_mib@edge": 0.1, "latency_p50_ms@edge": 0.1}})
        for entry in report.candidates
    )
    status = summarize(report.model_copy(update={"candidates": forged}))
    assert (status.result, status.pareto) == (None, ())
    assert goals(status) == ("False", "TargetUnmeasured")


def test_f44_a_baseline_without_figures_misses_what_is_compared_with_it() -> None:
    status = summarize(make_progress(baseline=BaselineStatus()))
    assert goals(status) == ("False", "AccuracyBudgetExceeded")


def test_a_summary_of_a_candidate_holds_what_the_job_looks_at() -> None:
    (candidate, *_) = make_parts().candidates
    own = {**candidate.metrics, "f1": 0.5, "auc": 0.6}
    spec = make_spec().model_copy(
        update={"constraints": make_spec(constraints=[{"metric": "loss", "max": 1}]).constraints}
    )
    summary = summarize_candidate(candidate.model_copy(update={"metrics": own}), spec)
    assert {"accuracy", "loss", "params", "speedup@edge"} <= set(summary.metrics)
    assert not {"f1", "auc", "contention@edge"} & set(summary.metrics)
    restored = summary.restore()
    assert (restored.id, restored.parent, restored.artifact) == (
        candidate.id,
        candidate.parent,
        candidate.artifact,
    )
    assert restored.files[0].size_mib == candidate.files[0].size_mib


def test_metrics_of_no_target_are_kept_before_those_of_targets() -> None:
    metrics = {f"speedup@t{index}": 1.0 for index in range(90)} | {"accuracy": 0.9}
    kept = list(select_metrics(metrics, make_spec()))
    assert (len(kept), kept[0]) == (80, "accuracy")


def test_a_placed_target_may_still_show_a_gain() -> None:
    """A cast to 16 bits may be no smaller in one format, and faster on the node that is to come."""
    parent, candidate = make_parts().candidates[:2]
    size = parent.metrics["size_mib@edge"]
    figures = {"size_mib@edge": size, "size_compressed_mib@edge": size}
    parent = parent.model_copy(update={"metrics": figures})
    candidate = candidate.model_copy(update={"metrics": figures})
    (here,) = make_spec().targets
    there = here.model_copy(update={"node_selector": {"gpu": "h100"}, "runtime": Runtime.TORCH})
    assert find_no_gain(candidate, parent, [here]) is not None
    assert find_no_gain(candidate, parent, [there]) is None
