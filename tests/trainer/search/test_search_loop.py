"""The search: which points it tries, what it records, and how it judges trials."""

import math
from collections.abc import Generator, Mapping
from typing import Any

import pytest

from trimtab_api.reports import EpochReport, TrialReport
from trimtab_api.v1alpha1.goals import Direction, Objective
from trimtab_api.v1alpha1.search import (
    Bayesian,
    Categorical,
    Grid,
    LogUniform,
    NumberType,
    Parameter,
    Random,
    SearchAlgorithm,
    SearchSpace,
    Uniform,
)
from trimtab_api.v1alpha1.status import FailureClass, TrialState
from trimtab_trainer.errors import TooManyFailedTrialsError, UserError
from trimtab_trainer.execution.in_process import InProcessExecutor
from trimtab_trainer.search.records import TrialRecord
from trimtab_trainer.search.study import Study
from trimtab_trainer.search.trial import TrialRunner, run_search

RATE = Parameter(
    name="train.learningRate", search_space=SearchSpace(log_uniform=LogUniform(min=1e-3, max=1.0))
)
SIZE = Parameter(
    name="train.batchSize", search_space=SearchSpace(categorical=Categorical(choices=(8, 16, 32)))
)
WIDTH = Parameter(
    name="model.args.width",
    search_space=SearchSpace(uniform=Uniform(min=1, max=3, type=NumberType.INT)),
)
ALGORITHMS = {
    "grid": SearchAlgorithm(grid=Grid()),
    "random": SearchAlgorithm(random=Random()),
    "tpe": SearchAlgorithm(bayesian=Bayesian(startup_trials=3)),
}


def score(bench: object, *, point: Mapping[str, Any]) -> Generator[EpochReport, None, Any]:
    """Return an accuracy that is best at a learning rate of 0.1."""
    rate = float(point.get("train.learningRate", 0.1))
    yield EpochReport(epoch=1, metrics={"accuracy": 0.1}, seconds=0.0)
    return {"accuracy": 1 - abs(math.log10(rate) + 1) / 3}


def misspell(bench: object, *, point: Mapping[str, Any]) -> Generator[EpochReport, None, Any]:
    yield EpochReport(epoch=1, metrics={}, seconds=0.0)
    return {"exactness": 0.5}


def diverge(bench: object, *, point: Mapping[str, Any]) -> Generator[EpochReport, None, Any]:
    yield EpochReport(epoch=1, metrics={}, seconds=0.0)
    return {"accuracy": math.inf if point["train.batchSize"] == 8 else 0.5}


def search(
    parameters: tuple[Parameter, ...],
    algorithm: str,
    trials: int,
    *,
    work: Any = score,
    earlier: tuple[TrialRecord, ...] = (),
    goal: float | None = None,
    max_failed: int = 0,
) -> list[TrialRecord]:
    """Run a search and return its records, earlier ones first."""
    objectives = (Objective(metric="accuracy", direction=Direction.MAXIMIZE, goal=goal),)
    study = Study(
        parameters,
        algorithm=ALGORITHMS[algorithm],
        objectives=objectives,
        seed=3,
        num_trials=trials,
    )
    study.replay(earlier)
    records = list(earlier)

    def record(trial: TrialReport, running: Mapping[int, Any]) -> TrialReport:
        records.append(TrialRecord(trial, running))
        return trial

    runner = TrialRunner(
        objectives=objectives,
        work=work,
        arguments=lambda proposal: {"point": proposal.parameters},
        on_start=lambda proposal, slot: None,
        on_epoch=lambda proposal, slot, epoch: None,
        on_failure=lambda proposal, failure: None,
        record=record,
        max_failed=max_failed,
    )
    with InProcessExecutor(slots=1, make_bench=dict) as executor:
        for _ in run_search(study, runner, executor, [entry.trial for entry in earlier]):
            pass
    return records


def points(records: list[TrialRecord]) -> list[tuple[Any, ...]]:
    return [tuple(record.trial.parameters.values()) for record in records]


def test_grid_visits_each_point_once() -> None:
    found = points(search((SIZE, WIDTH), "grid", 100))
    assert sorted(found) == [(size, width) for size in (8, 16, 32) for width in (1, 2, 3)]


@pytest.mark.parametrize("algorithm", ["grid", "random", "tpe"])
def test_f34_a_finite_space_ends_after_its_distinct_points(algorithm: str) -> None:
    found = points(search((SIZE,), algorithm, 20))
    assert sorted(found) == [(8,), (16,), (32,)]


@pytest.mark.parametrize("algorithm", ["random", "tpe"])
def test_a_seed_replays_a_search(algorithm: str) -> None:
    first = points(search((RATE, SIZE), algorithm, 8))
    assert points(search((RATE, SIZE), algorithm, 8)) == first
    assert len(set(first)) == 8


@pytest.mark.parametrize("algorithm", ["grid", "random", "tpe"])
def test_f57_a_search_that_goes_on_tries_what_an_uninterrupted_one_would(algorithm: str) -> None:
    space = (SIZE, WIDTH) if algorithm == "grid" else (RATE, SIZE)
    whole = search(space, algorithm, 8)
    resumed = search(space, algorithm, 8, earlier=tuple(whole[:5]))
    assert points(resumed) == points(whole)
    assert [record.trial.number for record in resumed] == list(range(8))


def test_tpe_comes_closer_to_the_optimum_than_its_random_start() -> None:
    values = [record.trial.values["accuracy"] for record in search((RATE,), "tpe", 25)]
    assert max(values[10:]) > max(values[:3])


def test_reaching_the_goal_ends_the_search() -> None:
    records = search((RATE,), "random", 50, goal=0.8)
    values = [record.trial.values["accuracy"] for record in records]
    assert values[-1] >= 0.8
    assert all(value < 0.8 for value in values[:-1])
    assert len(values) < 50


def test_a_record_survives_its_journey_through_json() -> None:
    record = search((RATE,), "random", 1)[0]
    assert TrialRecord.from_json(record.to_json()) == record


def test_f56_a_missing_metric_is_named_and_three_alike_end_the_job() -> None:
    with pytest.raises(UserError, match="accuracy") as caught:
        search((RATE,), "random", 10, work=misspell, max_failed=10)
    assert "exactness" in str(caught.value)


def test_f49_an_infinite_metric_is_a_failed_trial_and_never_the_best() -> None:
    records = search((SIZE,), "grid", 3, work=diverge, max_failed=3)
    failed = records[0].trial
    assert failed.state is TrialState.FAILED
    assert failed.values == {}
    assert failed.failure is not None
    assert failed.failure.failure_class in {FailureClass.DIVERGED, FailureClass.TRIAL_ERROR}
    assert [record.trial.state for record in records[1:]] == [TrialState.SUCCEEDED] * 2


def test_more_failed_trials_than_allowed_end_the_job() -> None:
    with pytest.raises(TooManyFailedTrialsError, match="maxFailedTrials"):
        search((SIZE,), "grid", 3, work=diverge, max_failed=0)
