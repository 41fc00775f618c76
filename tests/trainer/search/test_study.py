"""A study proposes what seed and history say, each point of a finite space once."""

from collections.abc import Iterator

import optuna
import pytest
from pydantic import ValidationError

from toy_search import (
    ALGORITHMS,
    BAYESIAN,
    GAUSSIAN,
    GRID,
    LOSS,
    RANDOM,
    categorical,
    fail,
    make_study,
    score,
    stop,
    succeed,
    uniform,
)
from trimtab_api.feasibility import TrialLimit
from trimtab_api.reports import TrialReport
from trimtab_api.spaces import grid_points
from trimtab_api.v1alpha1.goals import Direction, Objective
from trimtab_api.v1alpha1.search import NumberType, Parameter, SearchAlgorithm
from trimtab_api.v1alpha1.status import FailureClass
from trimtab_trainer.errors import TrialLogCorruptError
from trimtab_trainer.search.records import TrialRecord
from trimtab_trainer.search.study import Proposal, Study

LIMIT = TrialLimit("size max 4", "size", 4.0, upper=True)
FINITE = [categorical("a", "x", "yy", "zzz"), uniform("b", 0, 2, kind=NumberType.INT)]


def end(proposal: Proposal) -> TrialReport:
    """End a trial, one in five each with a failure, without memory, and early."""
    loss = score(proposal.parameters)
    match proposal.number % 5:
        case 2:
            return fail(proposal, FailureClass.OOM)
        case 3:
            return fail(proposal, FailureClass.DIVERGED)
        case 4:
            return stop(proposal, 2 + loss, 1 + loss)
        case _:
            return succeed(proposal, {"size": proposal.number}, loss=loss)


def tell(study: Study, proposal: Proposal) -> TrialReport:
    trial = end(proposal)
    study.tell(trial)
    return trial


def proposals(study: Study) -> Iterator[Proposal]:
    while (proposal := study.ask()) is not None:
        yield proposal


def run(study: Study) -> list[TrialRecord]:
    """Run trials one after the other to the end."""
    return [TrialRecord(tell(study, proposal)) for proposal in proposals(study)]


def points_of(records: list[TrialRecord]) -> list[dict[str, object]]:
    return [dict(record.trial.parameters) for record in records]


def test_numbers_count_up_to_the_number_of_trials() -> None:
    assert [record.trial.number for record in run(make_study(num_trials=5))] == [0, 1, 2, 3, 4]


def test_a_grid_visits_each_point_once_in_order() -> None:
    study = make_study(*FINITE, algorithm=GRID, num_trials=100)
    assert points_of(run(study)) == list(grid_points(FINITE))


def test_a_grid_ends_at_the_number_of_trials() -> None:
    study = make_study(*FINITE, algorithm=GRID, num_trials=4)
    assert points_of(run(study)) == list(grid_points(FINITE))[:4]


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_f34_a_finite_space_ends_after_its_distinct_points(algorithm: SearchAlgorithm) -> None:
    points = points_of(run(make_study(*FINITE, algorithm=algorithm, num_trials=50)))
    assert sorted(map(str, points)) == sorted(map(str, grid_points(FINITE)))


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_f34_a_single_point_is_one_trial(algorithm: SearchAlgorithm) -> None:
    single = [categorical("a", "x"), uniform("b", 2, 2, kind=NumberType.INT)]
    study = make_study(*single, algorithm=algorithm, num_trials=50)
    assert points_of(run(study)) == [{"train.a": "x", "train.b": 2}]


@pytest.mark.parametrize("listed", [0, 20_000], ids=["too many to list", "listed"])
def test_f34_a_repeated_draw_is_replaced_by_an_untried_point(
    monkeypatch: pytest.MonkeyPatch, listed: int
) -> None:
    monkeypatch.setattr("trimtab_trainer.search.study._DRAWS", 1)
    monkeypatch.setattr("trimtab_trainer.search.study._ENUMERATED", listed)
    points = points_of(run(make_study(*FINITE, algorithm=RANDOM, num_trials=50)))
    assert sorted(map(str, points)) == sorted(map(str, grid_points(FINITE)))


def test_where_a_model_draws_a_tried_point_again_its_nearest_neighbour_is_tried() -> None:
    axis = uniform("b", 0, 99, kind=NumberType.INT)
    study = make_study(axis, algorithm=GAUSSIAN, num_trials=30)
    tried: list[int] = []
    while (proposal := study.ask()) is not None:
        value = int(str(proposal.parameters["train.b"]))
        tried.append(value)
        study.tell(succeed(proposal, loss=(value - 42.0) ** 2))
    best = tried.index(42)
    assert len(set(tried)) == 30
    assert max(abs(value - 42) for value in tried[best + 1 :]) <= 20


def test_points_that_run_are_not_given_again() -> None:
    study = make_study(*FINITE, algorithm=RANDOM, num_trials=50)
    points = [str(proposal.parameters) for proposal in proposals(study)]
    assert len(set(points)) == len(points) == 9


@pytest.mark.parametrize("algorithm", [RANDOM, BAYESIAN], ids=["random", "bayesian"])
def test_the_same_seed_gives_the_same_trials_and_another_one_others(
    algorithm: SearchAlgorithm,
) -> None:
    first, again, other = (
        points_of(run(make_study(algorithm=algorithm, seed=seed))) for seed in (7, 7, 8)
    )
    assert first == again
    assert all(one != another for one, another in zip(first, other, strict=True))


@pytest.mark.parametrize("limits", [[], [LIMIT]], ids=["free", "limited"])
@pytest.mark.parametrize(
    ("algorithm", "space"),
    [
        (RANDOM, []), (BAYESIAN, []), (GAUSSIAN, []),
        (GRID, FINITE), (RANDOM, FINITE), (BAYESIAN, FINITE), (GAUSSIAN, FINITE),
    ],
    ids=[
        "random", "tpe", "gaussian",
        "grid, finite", "random, finite", "tpe, finite", "gaussian, finite",
    ],
)  # fmt: skip
def test_f51_a_resumed_study_proposes_what_an_uninterrupted_one_does(
    algorithm: SearchAlgorithm, space: list[Parameter], limits: list[TrialLimit]
) -> None:
    def make() -> Study:
        return make_study(*space, algorithm=algorithm, limits=limits, num_trials=9)

    whole = run(make())
    for cut in range(0, len(whole) + 1, 3):
        study = make()
        study.replay([TrialRecord.from_json(record.to_json()) for record in whole[:cut]])
        assert points_of(run(study)) == points_of(whole[cut:])


@pytest.mark.parametrize("algorithm", [BAYESIAN, GAUSSIAN], ids=["tpe", "gaussian"])
def test_f51_trials_that_ran_in_parallel_are_run_again_with_equal_parameters(
    algorithm: SearchAlgorithm,
) -> None:
    study = make_study(algorithm=algorithm, num_trials=12)
    running = [study.ask(), study.ask(), study.ask()]
    records: list[TrialRecord] = []
    for index in (0, 1, 2, 1, 2, 0):
        ended = running[index]
        running[index] = None
        assert ended is not None
        beside = {other.number: other.parameters for other in running if other is not None}
        records.append(TrialRecord(tell(study, ended), beside))
        running[index] = study.ask()

    resumed = make_study(algorithm=algorithm, num_trials=12)
    resumed.replay([TrialRecord.from_json(record.to_json()) for record in records])
    again = [resumed.ask(), resumed.ask(), resumed.ask()]
    assert {str(proposal) for proposal in again} == {str(proposal) for proposal in running}
    assert resumed.ask() == study.ask()


@pytest.mark.parametrize("algorithm", [RANDOM, BAYESIAN, GAUSSIAN], ids=["random", "tpe", "gp"])
def test_f26_a_raised_number_of_trials_goes_on_with_the_same_study(
    algorithm: SearchAlgorithm,
) -> None:
    whole = run(make_study(algorithm=algorithm, num_trials=9))
    study = make_study(algorithm=algorithm, num_trials=9)
    study.replay(run(make_study(algorithm=algorithm, num_trials=6)))
    assert points_of(run(study)) == points_of(whole[6:])


def test_f26_a_lowered_number_of_trials_ends_the_study_at_once() -> None:
    records = run(make_study(num_trials=6))
    running = TrialRecord(records[-1].trial, {6: {"train.x": 0.0, "train.y": 0.5}})
    study = make_study(num_trials=4)
    study.replay([*records[:-1], running])
    assert study.ask() is None


def test_f26_a_lowered_number_of_trials_ends_a_grid_at_once() -> None:
    records = run(make_study(*FINITE, algorithm=GRID, num_trials=6))
    study = make_study(*FINITE, algorithm=GRID, num_trials=6)
    study.replay(records)
    assert study.ask() is None


def test_f26_a_running_trial_within_a_lowered_number_is_still_run() -> None:
    records = run(make_study(num_trials=6))
    running = {4: records[4].trial.parameters, 5: records[5].trial.parameters}
    study = make_study(num_trials=5)
    study.replay([*records[:3], TrialRecord(records[3].trial, running)])
    assert [proposal.number for proposal in proposals(study)] == [4]


@pytest.mark.parametrize("order", [(0, 0), (0, 2), (1, 2)], ids=["twice", "a gap", "no beginning"])
def test_f54_records_that_are_no_whole_study_are_refused(order: tuple[int, ...]) -> None:
    records = run(make_study())
    with pytest.raises(TrialLogCorruptError, match="once"):
        make_study().replay([records[index] for index in order])


@pytest.mark.parametrize("record", [{}, {"trial": {"number": 1}, "running": []}, {"trial": 1}])
def test_f54_a_record_that_is_no_trial_is_refused(record: dict[str, object]) -> None:
    with pytest.raises(TrialLogCorruptError, match="must describe a trial"):
        TrialRecord.from_json(record)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_f49_a_value_that_is_not_finite_is_never_stored(value: float) -> None:
    study = make_study()
    proposal = study.ask()
    assert proposal is not None
    good = succeed(proposal, loss=1.0)
    with pytest.raises(ValidationError):
        TrialReport.model_validate(good.model_dump() | {"values": {"loss": value}})
    bad = good.model_copy(update={"values": {"loss": value}})
    with pytest.raises(ValueError, match="must be finite"):
        study.tell(bad)
    with pytest.raises(ValueError, match="must be finite"):
        make_study().replay([TrialRecord(bad)])
    study.tell(good)
    assert [trial.values for trial in study._study.trials] == [[1.0]]


@pytest.mark.parametrize(
    ("algorithm", "trials"), [(BAYESIAN, 30), (GAUSSIAN, 10)], ids=["tpe", "gaussian"]
)
def test_a_model_finds_better_points_than_random_search(
    algorithm: SearchAlgorithm, trials: int
) -> None:
    def total_loss(algorithm: SearchAlgorithm) -> float:
        losses = []
        for seed in range(6):
            study = make_study(algorithm=algorithm, seed=seed, num_trials=trials)
            found = []
            for proposal in proposals(study):
                found.append(score(proposal.parameters))
                study.tell(succeed(proposal, loss=found[-1]))
            losses.append(min(found))
        return sum(losses)

    assert total_loss(algorithm) < total_loss(RANDOM)


def test_several_objectives_are_told_together_each_with_its_direction() -> None:
    accuracy = Objective(metric="accuracy", direction=Direction.MAXIMIZE)
    study = make_study(objectives=[accuracy, LOSS], num_trials=12)
    for proposal in proposals(study):
        loss = score(proposal.parameters)
        study.tell(succeed(proposal, loss=loss, accuracy=-loss))
    best = study._study.best_trials
    assert [trial.values for trial in best] == [[-best[0].values[1], best[0].values[1]]]


def test_a_study_is_silent_whatever_optunas_log_level_was(
    capfd: pytest.CaptureFixture[str],
) -> None:
    optuna.logging.set_verbosity(optuna.logging.INFO)
    run(make_study(algorithm=GAUSSIAN, num_trials=5))
    assert capfd.readouterr() == ("", "")
