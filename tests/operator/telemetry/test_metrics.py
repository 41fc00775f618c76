"""The page has every series of the table, by name, type and labels, for as long as there is a job."""

import re

import pytest

from metrics_builder import make_facts, make_full_report, make_health, read_page, render
from report_builder import make_manifest
from trimtab_api.margins import LimitKind, LimitMargin
from trimtab_api.metrics import KNOWN_METRICS
from trimtab_api.progress import Counters, RunningTrial
from trimtab_api.stages import STAGE_ORDER
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import (
    METRICS_LIMIT,
    BaselineStatus,
    BudgetStatus,
    FailureClass,
    JobState,
    Status,
    TargetStatus,
)
from trimtab_api.v1alpha1.train import PrecisionDtype
from trimtab_operator.telemetry.catalogue import CATALOGUE, JOB_LABELS, SeriesType
from trimtab_operator.telemetry.job_series import MOST_SAMPLES, JobFacts, build_page
from trimtab_operator.telemetry.metrics import JobBoard, PassLog

JOB = (("job_name", "digits"), ("job_namespace", "team"))


def make_board(*facts: JobFacts) -> JobBoard:
    board = JobBoard()
    for entry in facts or (make_facts(),):
        board.show(build_page(entry))
    return board


def read(board: JobBoard) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return read_page(render(board))[1]


def value(board: JobBoard, name: str, **labels: str) -> float:
    return read(board)[name, tuple(sorted((*JOB, *labels.items())))]


def test_every_series_is_exported_with_its_type_labels_and_meaning() -> None:
    families, _ = read_page(render(make_board()))
    assert [family.name for family in families.values()] == [
        series.name.removesuffix("_total") for series in CATALOGUE
    ]
    for series in CATALOGUE:
        family = families[series.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (series.type, series.meaning)
        assert family.samples, series.name
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(series.labels)


def test_names_keep_the_rules_of_prometheus() -> None:
    names = [series.name for series in CATALOGUE]
    assert len(set(names)) == len(names)
    for series in CATALOGUE:
        assert re.fullmatch(r"trimtab(_[a-z]+)+", series.name)
        assert series.name.endswith("_total") is (series.type is SeriesType.COUNTER)
        assert not re.search(r"_(count|sum|bucket|created|ms|percent|minutes)$", series.name)
        assert not re.search(r"gauge|counter|histogram", series.name)
        assert all(re.fullmatch("[a-z_]+", label) for label in series.labels)
        assert not {"namespace", "job", "instance", "le", "trial"} & set(series.labels)
        assert series.meaning
        assert not series.meaning.endswith(".")


def test_values_are_those_of_status_and_report() -> None:
    board = make_board()
    assert value(board, "trimtab_job_state", state="Running") == 1
    assert value(board, "trimtab_job_state", state="Failed") == 0
    assert value(board, "trimtab_job_stage", stage="search") == 1
    assert value(board, "trimtab_job_attempt") == 2
    assert value(board, "trimtab_job_report_age_seconds") == 7.5
    assert value(board, "trimtab_stage_duration_seconds", stage="search") == 61.5
    assert value(board, "trimtab_trials", state="Succeeded") == 14
    assert value(board, "trimtab_trial_objective", slot="3", metric="accuracy") == 0.9
    assert value(board, "trimtab_trial_number", slot="3") == 23
    assert value(board, "trimtab_trial_progress_ratio", slot="3") == 0.25
    assert value(board, "trimtab_loss_scale", slot="0") == 2048
    assert value(board, "trimtab_last_trial_objective", metric="accuracy") == 0.875
    assert value(board, "trimtab_pareto_hypervolume") == 1.75
    assert value(board, "trimtab_baseline_metric", metric="size_mib", target="edge") == 0.3652
    assert value(board, "trimtab_baseline_metric", metric="accuracy", target="") == 0.9778
    assert value(board, "trimtab_result_metric", metric="accuracy", target="edge") == 0.9704
    margin = {"metric": "speedup", "target": "edge", "limit": "min"}
    assert value(board, "trimtab_constraint_margin", **margin) == -0.5
    assert value(board, "trimtab_budget_allowed") == 0.01
    assert value(board, "trimtab_budget_spent", stage="prune") == 0.0037
    assert value(board, "trimtab_gpu_seconds_total") == 120.5
    assert value(board, "trimtab_gpu_seconds_saved_total", reason="EarlyStopping") == 30.25
    assert value(board, "trimtab_retries_total", **{"class": "NodeLost"}) == 3
    assert value(board, "trimtab_failures_total", **{"class": "OOM"}) == 0
    assert value(board, "trimtab_loss_scale_overflows_total") == 5
    fallback = {"from": "fp16", "to": "bf16"}
    assert value(board, "trimtab_precision_fallbacks_total", **fallback) == 1
    assert value(board, "trimtab_cluster_workers", state="ready") == 1


def test_how_the_operator_is_stands_beside_the_jobs() -> None:
    values = read(make_board(make_facts(), make_facts(name="other")))
    jobs = (("job_namespace", "team"), ("state", "Running"))
    assert values["trimtab_jobs", jobs] == 2
    assert values["trimtab_queue_depth", ()] == 3
    assert values["trimtab_watch_age_seconds", (("resource", "pods"),)] == 12.5
    assert values["trimtab_reconcile_errors_total", (("reason", "Conflict"),)] == 1
    name = "trimtab_reconcile_duration_seconds"
    assert values[f"{name}_bucket", (("le", "0.1"), ("outcome", "Succeeded"))] == 0
    assert values[f"{name}_bucket", (("le", "0.3"), ("outcome", "Succeeded"))] == 1
    assert values[f"{name}_bucket", (("le", "30.0"), ("outcome", "Failed"))] == 0
    assert values[f"{name}_bucket", (("le", "+Inf"), ("outcome", "Failed"))] == 1
    assert values[f"{name}_sum", (("outcome", "Failed"),)] == 45.0


def test_a_quiet_operator_has_its_durations_at_nothing() -> None:
    _, values = read_page(render(JobBoard(), make_health(PassLog())))
    assert values["trimtab_reconcile_duration_seconds_count", (("outcome", "Failed"),)] == 0


def test_f74_series_are_gone_with_their_job() -> None:
    board = make_board(make_facts(), make_facts(name="other"))
    board.drop("team", "digits")
    assert b'"digits"' not in render(board)
    assert b'"other"' in render(board)
    board.drop("team", "digits")
    board.drop("team", "other")
    assert b"job_name=" not in render(board)


def test_what_a_report_does_not_tell_is_absent() -> None:
    bare = JobFacts(namespace="team", name="digits", status=Status(state=JobState.PENDING))
    names = {name for name, _ in read(make_board(bare)) if "reconcile" not in name}
    assert names == {
        "trimtab_job_state",
        "trimtab_job_stage",
        "trimtab_jobs",
        "trimtab_build_info",
        "trimtab_queue_depth",
        "trimtab_watch_age_seconds",
    }


def test_totals_are_absent_until_a_driver_has_read_the_study() -> None:
    board = make_board(make_facts(make_full_report(stage=None)))
    assert not [name for name, _ in read(board) if "_total" in name and "reconcile" not in name]


def test_f44_words_of_a_report_are_no_labels() -> None:
    report = make_full_report(
        baseline=BaselineStatus(metrics={'evil"\n': 1.0, "size_mib@nowhere": 1.0, "loss": 0.5}),
        running=(RunningTrial(slot=99, trial=1), RunningTrial(slot=1, trial=1, metrics={"x": 1.0})),
        margins=(LimitMargin(metric="x", target="edge", limit=LimitKind.MAX, value=1.0),),
        counters=Counters(
            precision_fallbacks={"fp16:evil": 1, "fp16": 1, "fp16:fp32": 2},
            retries={FailureClass.OOM: -3},
        ),
    )
    values = read(make_board(make_facts(report)))
    labels = {label for _, pairs in values for label in pairs}
    assert not {("metric", "x"), ("target", "nowhere"), ("slot", "99"), ("to", "evil")} & labels
    assert not any("evil" in text for _, text in labels)
    assert ("to", "fp32") in labels
    assert ("trimtab_retries_total", tuple(sorted((*JOB, ("class", "OOM"))))) not in values


def make_worst_facts() -> JobFacts:
    """Return a job with as many of everything as may be."""
    targets = [f"target-{index}" for index in range(8)]
    metrics = [*KNOWN_METRICS][:10]
    constraints = [
        {"metric": metrics[index % 8], "target": targets[index % 8], "max": 1}
        for index in range(16)
    ]
    manifest = make_manifest(
        objectives=[{"metric": f"own_{index}", "direction": "Minimize"} for index in range(4)],
        constraints=constraints,
        targets=[{"name": name, "profile": "cpu-edge"} for name in targets],
    )
    own = {f"own_{index}": 0.5 for index in range(4)}
    pairs = {f"{one}:{two}": 1 for one in PrecisionDtype for two in PrecisionDtype}
    every = {f"{name}@{target}": 1.0 for target in targets for name in KNOWN_METRICS}
    report = make_full_report(
        running=tuple(
            RunningTrial(slot=slot, trial=slot, epochs=2, metrics=own, loss_scale=1.0)
            for slot in range(16)
        ),
        counters=Counters(
            stage_seconds=dict.fromkeys(STAGE_ORDER, 1.0),
            precision_fallbacks=dict([*pairs.items()][:16]),
        ),
    )
    facts = make_facts(report)
    status = facts.status.model_copy(
        update={
            "baseline": BaselineStatus(metrics=dict([*every.items()][:METRICS_LIMIT])),
            "targets": tuple(
                TargetStatus(name=name, metrics={**dict.fromkeys(KNOWN_METRICS, 1.0), **own})
                for name in targets
            ),
            "budget": BudgetStatus(
                metric="own_0",
                allowed=1.0,
                resolution=1.0,
                spent=dict.fromkeys(STAGE_ORDER, 1.0),
                remaining=1.0,
            ),
        }
    )
    margins = tuple(
        LimitMargin(metric=metric, target=target, limit=kind, value=1.0)
        for metric in metrics
        for target in targets
        for kind in LimitKind
    )[:128]
    spec = Spec.model_validate(manifest["spec"])
    return make_facts(report, status=status, spec=spec, margins=margins)


def test_f74_no_job_has_more_than_a_thousand_series_and_a_usual_one_about_120() -> None:
    usual, worst = build_page(make_facts()), build_page(make_worst_facts())
    assert 80 < len(usual.values) < 160
    assert 400 < len(worst.values) < MOST_SAMPLES
    assert len(read(make_board(make_worst_facts()))) > 400


@pytest.mark.parametrize("error", ["NotFound", "Internal"])
def test_a_failed_pass_is_counted_by_its_reason(error: str) -> None:
    log = PassLog()
    log.note(0.5, error)
    log.note(0.5, error)
    assert log.errors() == {error: 2}


def test_labels_of_jobs_are_first() -> None:
    assert JOB_LABELS == ("job_namespace", "job_name")
    operators = [series.name for series in CATALOGUE if series.labels[:2] != JOB_LABELS]
    assert operators[0] == "trimtab_jobs"
