"""A status fits its object, whatever a run reports: details go, the outcome stays."""

from report_builder import make_report
from trimtab_api.stages import STAGE_ORDER, StageName, StageReason, StageState
from trimtab_api.status_size import STATUS_LIMIT, fit_status, measure_status
from trimtab_api.v1alpha1.conditions import ConditionType
from trimtab_api.v1alpha1.goals import TargetDevice
from trimtab_api.v1alpha1.status import (
    BaselineStatus,
    BestTrial,
    BudgetStatus,
    ClusterStatus,
    Condition,
    FailureClass,
    FailureCount,
    GpuSeconds,
    JobState,
    MetricMap,
    ParameterValue,
    ParetoPoint,
    PrecisionStatus,
    ResultStatus,
    StageStatus,
    Status,
    TargetState,
    TargetStatus,
    TrialCounts,
)

NOW = "2026-11-24T10:04:31.000000Z"
LONG = "m" * 256
PATH = "artifacts/" + "p" * 118
DIGEST = "f" * 64
FIGURE = -0.12345678901234567


def figures(count: int) -> MetricMap:
    return {f"{index:02d}{'n' * 61}": FIGURE for index in range(count)}


def make_worst_trial() -> BestTrial:
    return BestTrial(
        trial=9999,
        value=FIGURE,
        parameters=tuple(
            ParameterValue(name=f"{index:02d}{'p' * 126}", value="v" * 256) for index in range(32)
        ),
        metrics=figures(80),
    )


def make_worst_stage(name: StageName) -> StageStatus:
    return StageStatus(
        name=name,
        state=StageState.SUCCEEDED,
        reason=StageReason.OPERATOR_UNSUPPORTED,
        start_time=NOW,
        completion_time=NOW,
        input_hash=DIGEST,
        metrics=figures(80),
        artifact=PATH,
        message=LONG,
    )


def make_worst_target(index: int) -> TargetStatus:
    return TargetStatus(
        name=f"{index}{'t' * 19}",
        state=TargetState.MEASURED,
        candidate="pruned-int8-dynamic",
        format="openvino",
        artifact=PATH,
        digest=DIGEST,
        metrics=figures(16),
        goals_met=False,
        limiting_constraint="c" * 120,
        node="n" * 63,
        device=TargetDevice.CUDA,
        proxy=True,
    )


def make_worst_status() -> Status:
    """Return a status with every list full and every string at its bound."""
    return Status(
        observed_generation=2**62,
        failed_attempts=99_999,
        active_seconds=1e15,
        cluster=ClusterStatus(
            ray_job="r" * 63, ray_cluster="c" * 63, workers_ready=1024, workers_desired=1024
        ),
        conditions=tuple(
            Condition(
                type=kind,
                status="Unknown",
                reason="r" * 64,
                message=LONG,
                last_transition_time=NOW,
            )
            for kind in ConditionType
        ),
        state=JobState.COMPLETE,
        stage=STAGE_ORDER[-1],
        attempt=10_000,
        message=LONG,
        start_time=NOW,
        completion_time=NOW,
        storage="s" * 1024,
        trials=TrialCounts(summary="10000/10000", total=10_000, succeeded=10_000),
        best=make_worst_trial(),
        baseline=BaselineStatus(artifact=PATH, metrics=figures(80)),
        budget=BudgetStatus(
            metric="n" * 63,
            allowed=FIGURE,
            resolution=FIGURE,
            spent=dict.fromkeys(STAGE_ORDER, FIGURE),
            remaining=FIGURE,
        ),
        pareto=tuple(
            ParetoPoint(id=f"pruned-{index}", feasible=False, metrics=figures(20))
            for index in range(10)
        ),
        pareto_total=10_000,
        stages=tuple(make_worst_stage(stage) for stage in STAGE_ORDER),
        targets=tuple(make_worst_target(index) for index in range(8)),
        result=ResultStatus(
            candidate="pruned-int8-dynamic",
            value=FIGURE,
            drop=FIGURE,
            speedup=FIGURE,
            artifact=PATH,
        ),
        gpu_seconds=GpuSeconds(used=1e12, saved=1e12),
        precision=PrecisionStatus(dtype="bf16", emulated=True, loss_scale=65536.0),
        failures=tuple(
            FailureCount(failure_class=kind, count=9999, last_message=LONG) for kind in FailureClass
        ),
    )


def test_f72_the_worst_status_fits_and_keeps_its_outcome() -> None:
    worst = make_worst_status()
    fitted = fit_status(worst)
    assert measure_status(worst) > 3 * STATUS_LIMIT
    assert measure_status(fitted) <= STATUS_LIMIT
    for field in ("conditions", "state", "message", "cluster", "result", "trials", "failures"):
        assert getattr(fitted, field) == getattr(worst, field)
    assert fitted.pareto_total == 10_000
    assert fitted.best is not None
    assert worst.best is not None
    assert fitted.best.parameters == worst.best.parameters


def test_eight_targets_keep_what_ships_for_each() -> None:
    worst = make_worst_status()
    fitted = fit_status(worst)
    bare = [target.model_copy(update={"metrics": {}}) for target in worst.targets]
    assert [target.model_copy(update={"metrics": {}}) for target in fitted.targets] == bare


def test_points_of_the_front_go_first_and_the_last_of_them_before_the_others() -> None:
    worst = make_worst_status()
    small = worst.model_copy(update={"stages": (), "best": None, "targets": ()})
    fitted = fit_status(small, limit=measure_status(small) - 1)
    assert fitted == small.model_copy(update={"pareto": small.pareto[:9]})


def test_a_status_that_fits_is_left_as_it_is() -> None:
    status = make_report().status
    assert status.pareto
    assert fit_status(status, limit=measure_status(status)) == status
