"""The status of a job follows whole from what its run reported."""

from dataclasses import replace
from typing import Any

import pytest

from candidate_builder import make_candidate
from report_builder import (
    ReportParts,
    make_failed_report,
    make_manifest,
    make_missed_report,
    make_partial_report,
    make_parts,
    make_report,
    make_trials,
)
from trimtab_api.defaults import expand_job
from trimtab_api.outcome import RunFacts, best_trial, build_status
from trimtab_api.reports import CandidateReport, ChoiceOutcome, ChoiceReport, RunReport, TrialReport
from trimtab_api.stages import STAGE_ORDER, StageName, StageReason
from trimtab_api.v1alpha1.conditions import ConditionType, DegradedReason, FailedReason
from trimtab_api.v1alpha1.goals import Profile, TargetDevice
from trimtab_api.v1alpha1.status import FailureClass, JobState, Status, TargetState, TrialState
from trimtab_api.validation import parse_job
from trimtab_api.verdict import (
    Verdict,
    describe_pick,
    find_outcome,
    find_verdict,
    shipped_for,
)


def stated(status: Status) -> dict[str, tuple[str, str]]:
    return {entry.type: (entry.status, entry.reason) for entry in status.conditions}


def conditions(report: RunReport) -> dict[str, tuple[str, str]]:
    return stated(report.status)


def facts(**known: Any) -> RunFacts:
    """Return the facts of a job that searches, with the ones given."""
    return RunFacts(
        spec=parse_job(make_manifest()).spec,
        attempt=1,
        now="2026-11-24T10:04:31Z",
        start_time="2026-11-24T10:01:02Z",
        stages=(),
        **known,
    )


def trial(number: int, value: float | None) -> TrialReport:
    return TrialReport(
        number=number,
        state=TrialState.FAILED if value is None else TrialState.SUCCEEDED,
        parameters={"train.learningRate": 0.1},
        values={} if value is None else {"accuracy": value},
        seconds=1,
    )


def test_a_run_that_met_its_goals_is_complete() -> None:
    report = make_report()
    assert conditions(report) == {
        ConditionType.GOALS_MET: ("True", "AllConstraintsMet"),
        ConditionType.COMPLETE: ("True", "Finished"),
    }
    status = report.status
    assert (status.state, status.stage) == (JobState.COMPLETE, StageName.BENCHMARK)
    assert status.completion_time == "2026-11-24T10:04:31Z"
    assert find_verdict(status) is Verdict.GOALS_MET
    assert status.trials is not None
    assert status.trials.summary == "16/16"
    assert status.trials.failed == 2
    assert [(entry.failure_class, entry.count) for entry in status.failures] == [
        (FailureClass.DIVERGED, 2)
    ]


def test_the_result_is_the_first_targets_pick() -> None:
    report = make_report()
    (target,), result = report.status.targets, report.status.result
    assert result is not None
    assert (target.candidate, target.goals_met, target.state) == (
        result.candidate,
        True,
        TargetState.MEASURED,
    )
    assert result.drop == pytest.approx(0.9778 - result.value)
    assert target.metrics["size_mib"] == result.size_mib
    assert not any("@" in key for key in target.metrics)


def test_a_missed_limit_is_named_and_the_job_is_complete() -> None:
    report = make_missed_report()
    assert conditions(report)[ConditionType.GOALS_MET] == ("False", "ConstraintMissed")
    assert conditions(report)[ConditionType.COMPLETE] == ("True", "Finished")
    assert "speedup@edge min 4 missed by" in str(report.status.message)
    assert find_verdict(report.status) is Verdict.GOALS_MISSED


def test_a_missed_budget_has_a_reason_of_its_own() -> None:
    parts = make_parts()
    bad = make_candidate("pruned")
    parts.candidates = [
        make_candidate("dense", reason=StageReason.NO_GAIN),
        bad.model_copy(update={"metrics": {**bad.metrics, "accuracy": 0.5, "speedup@edge": 9.0}}),
    ]
    found = conditions(parts.build())
    assert found[ConditionType.GOALS_MET] == ("False", "AccuracyBudgetExceeded")


def test_a_failed_job_says_why() -> None:
    report = make_failed_report()
    assert conditions(report) == {
        ConditionType.GOALS_MET: ("Unknown", "NotMeasured"),
        ConditionType.FAILED: ("True", "UserError"),
    }
    assert report.status.state is JobState.FAILED
    assert report.status.best is None
    assert find_verdict(report.status) is Verdict.FAILED


def test_a_stopped_run_has_neither_result_nor_end() -> None:
    report = make_partial_report()
    status = report.status
    assert (status.state, status.stage) == (JobState.RUNNING, StageName.PRUNE)
    assert (status.result, status.completion_time) == (None, None)
    assert [target.state for target in status.targets] == [TargetState.WAITING]
    assert find_verdict(status) is Verdict.UNFINISHED
    assert describe_pick(report, status.targets[0], "accuracy") == ""


def test_every_stage_has_an_entry_in_the_order_of_execution() -> None:
    for report in (make_report(), make_failed_report(), make_partial_report()):
        assert tuple(stage.name for stage in report.status.stages) == STAGE_ORDER


def test_a_job_without_a_search_counts_no_trials() -> None:
    parts = make_parts()
    parts.manifest["spec"]["stages"].pop("search")
    parts.trials = []
    assert parts.build().status.trials is None


def test_no_point_of_the_front_is_beaten_by_another() -> None:
    status = make_report().status
    front = {point.id: point.metrics for point in status.pareto}
    assert len(front) == status.pareto_total
    assert "pruned-int8" in front
    assert "dense-int8" in front
    assert set(front["pruned-int8"]) == {"accuracy", "size_mib@edge", "speedup@edge"}


def test_figures_in_columns_of_kubectl_have_six_digits() -> None:
    status = build_status(facts(trials=(trial(0, 26 / 27),)))
    assert status.best is not None
    assert status.best.value == 0.962963
    result = make_report().status.result
    assert result is not None
    shown = [result.value, result.drop, result.speedup, result.size_mib]
    assert [value for value in shown if value is not None and len(f"{value:.12g}") > 9] == []


def test_the_best_trial_is_the_first_among_equals() -> None:
    spec = parse_job(make_manifest()).spec
    best = best_trial([trial(0, 0.5), trial(2, 0.9), trial(1, 0.9), trial(3, None)], spec)
    assert best is not None
    assert (best.trial, best.value) == (1, 0.9)
    assert best_trial([trial(0, None)], spec) is None


def test_a_trial_past_a_limit_is_best_only_where_all_are() -> None:
    spec = parse_job(make_manifest()).spec
    past = trial(0, 0.9).model_copy(update={"violations": {"params max 9": 1.0}})
    best, only = best_trial([past, trial(1, 0.5)], spec), best_trial([past], spec)
    assert best is not None
    assert only is not None
    assert (best.trial, only.trial) == (1, 0)


def test_a_problem_degrades_the_job_until_it_is_solved() -> None:
    waits = facts(problem=(DegradedReason.STORAGE_FULL, "3 MiB left"), had_problem=True)
    status = build_status(waits)
    assert stated(status)[ConditionType.DEGRADED] == ("True", "StorageFull")
    assert status.message == "StorageFull: 3 MiB left"
    assert status.state is JobState.RUNNING
    solved = stated(build_status(facts(had_problem=True)))
    assert solved[ConditionType.DEGRADED] == ("False", "Recovered")
    assert ConditionType.DEGRADED not in stated(build_status(facts()))


def test_f26_a_study_that_goes_on_is_not_complete_until_it_ends_again() -> None:
    status = build_status(facts(extended=True))
    assert stated(status)[ConditionType.COMPLETE] == ("False", "StudyExtended")
    assert (status.state, status.completion_time) == (JobState.RUNNING, None)
    assert find_verdict(status) is Verdict.UNFINISHED
    failed = facts(extended=True, failure=(FailedReason.USER_ERROR, "no"))
    assert ConditionType.COMPLETE not in stated(build_status(failed))


def test_trials_of_an_earlier_job_are_counted_apart() -> None:
    counts = build_status(facts(cached_trials=7)).trials
    assert counts is not None
    assert (counts.cached, counts.total, counts.summary) == (7, 16, "0/16")


def test_the_best_trial_of_an_objective_to_minimize_is_the_least() -> None:
    manifest = make_manifest(objectives=[{"metric": "loss", "direction": "Minimize"}])
    trials = [
        entry.model_copy(update={"values": {"loss": value}})
        for entry, value in zip(make_trials(3), (0.3, 0.1, 0.2), strict=True)
    ]
    best = best_trial(trials, parse_job(manifest).spec)
    assert best is not None
    assert best.trial == 1


def test_a_report_survives_its_own_file() -> None:
    for report in (make_report(), make_failed_report(), make_partial_report()):
        text = report.model_dump_json(by_alias=True, exclude_none=True)
        assert RunReport.model_validate_json(text) == report


def test_the_outcome_of_a_candidate_is_what_was_chosen_else_how_it_was_judged() -> None:
    report = make_report().model_copy(update={"choices": ()})
    (target,) = report.status.targets
    by_name = {entry.id: find_outcome(report, entry, target) for entry in report.candidates}
    assert by_name == {
        "dense": ChoiceOutcome.FEASIBLE,
        "pruned": ChoiceOutcome.FEASIBLE,
        "dense-int8": ChoiceOutcome.REJECTED,
        "pruned-int8": ChoiceOutcome.SHIPS,
    }
    choice = ChoiceReport(
        target="edge", candidate="dense", outcome=ChoiceOutcome.OVER_LIMIT, text="too large"
    )
    chosen = report.model_copy(update={"choices": (choice,)})
    assert find_outcome(chosen, report.candidates[0], target) is ChoiceOutcome.OVER_LIMIT


def test_the_verdict_is_a_sentence_with_gains() -> None:
    report = make_report()
    (target,) = report.status.targets
    assert shipped_for(report, target) is not None
    sentence = describe_pick(report, target, "accuracy")
    assert sentence.startswith(f"{target.candidate} ships for edge: ")
    assert "smaller" in sentence
    assert "faster" in sentence


def two_targets(**changes: Any) -> ReportParts:
    """Return the parts of a run whose second target runs another format."""
    parts = make_parts()
    spec = parts.manifest["spec"]
    spec["targets"].append({"name": "dc", "profile": "gpu-server", "device": "cpu"})
    for name, value in changes.items():
        setattr(parts, name, value)
    return parts


def in_pt2(candidate: CandidateReport) -> CandidateReport:
    """Return a candidate that also was written and timed for the second target."""
    file = candidate.files[0]
    name = f"artifacts/{candidate.id}.pt2"
    pt2 = file.model_copy(update={"format": "pt2", "artifact": name, "digest": "d" * 64})
    figures = {"size_mib@dc": 0.4, "latency_p50_ms@dc": 0.2, "speedup@dc": 1.0}
    metrics = {**candidate.metrics, **figures}
    return candidate.model_copy(update={"files": (file, pt2), "metrics": metrics})


def test_a_target_without_figures_is_unmeasured_and_misses_its_goals() -> None:
    report = two_targets().build()
    edge, dc = report.status.targets
    assert (edge.state, dc.state) == (TargetState.MEASURED, TargetState.UNMEASURED)
    assert (dc.candidate, dc.goals_met) == (None, None)
    assert conditions(report) == {
        ConditionType.GOALS_MET: ("False", "TargetUnmeasured"),
        ConditionType.COMPLETE: ("True", "Finished"),
    }
    assert report.status.result is not None
    assert report.status.message == "pruned-int8 ships for edge; no figures on dc"


def test_a_run_that_measured_no_target_has_no_result() -> None:
    bare = [
        entry.model_copy(update={"metrics": {"accuracy": 0.9}}) for entry in make_parts().candidates
    ]
    status = two_targets(candidates=bare).build().status
    assert status.result is None
    assert {target.state for target in status.targets} == {TargetState.UNMEASURED}
    assert status.message == "no figures on edge, dc"


def test_a_missed_limit_is_named_before_a_target_without_figures() -> None:
    parts = two_targets()
    parts.manifest["spec"]["constraints"][2]["min"] = 4
    report = parts.build()
    assert conditions(report)[ConditionType.GOALS_MET] == ("False", "ConstraintMissed")
    assert str(report.status.message).endswith("; no figures on dc")


def test_each_target_ships_its_own_file() -> None:
    candidates = [
        in_pt2(entry) if entry.id == "dense" else entry for entry in make_parts().candidates
    ]
    status = two_targets(candidates=candidates).build().status
    edge, dc = status.targets
    assert (edge.candidate, edge.format, edge.artifact) == (
        "pruned-int8",
        "onnx",
        "artifacts/pruned-int8.onnx",
    )
    assert (dc.candidate, dc.format, dc.artifact) == ("dense", "pt2", "artifacts/dense.pt2")
    assert dc.digest == "d" * 64
    assert status.result is not None
    assert status.result.artifact == edge.artifact


@pytest.mark.parametrize(
    ("device", "proxy"), [(TargetDevice.CPU, False), (TargetDevice.CUDA, True), (None, False)]
)
def test_a_target_measured_on_another_device_is_a_proxy(
    device: TargetDevice | None, *, proxy: bool
) -> None:
    spec = expand_job(parse_job(make_manifest()), cores=2, detected=Profile.CPU_EDGE).spec
    measured = facts(
        candidates=[make_candidate("dense")],
        finished=True,
        devices={} if device is None else {"edge": device},
    )
    (target,) = build_status(replace(measured, spec=spec)).targets
    assert (target.device, target.proxy) == (device, proxy)
