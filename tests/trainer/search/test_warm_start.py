"""A search starts with the points that are listed, and with what an earlier job found."""

import pytest

from toy_search import (
    ALGORITHMS,
    BAYESIAN,
    LOSS,
    RANDOM,
    categorical,
    make_study,
    score,
    succeed,
    uniform,
)
from trimtab_api.reports import TrialReport
from trimtab_api.spaces import grid_points
from trimtab_api.v1alpha1._types import Scalar
from trimtab_api.v1alpha1.goals import Direction, Objective
from trimtab_api.v1alpha1.search import NumberType, SearchAlgorithm
from trimtab_api.v1alpha1.status import TrialState
from trimtab_trainer.errors import UserError
from trimtab_trainer.search.records import TrialRecord
from trimtab_trainer.search.study import Proposal, Study

Points = list[dict[str, Scalar]]

SPACE = [uniform("x", -1, 1), categorical("z", "a", 2), uniform("n", 0, 9, kind=NumberType.INT)]
FINITE = [categorical("a", "x", "yy", "zzz"), uniform("b", 0, 2, kind=NumberType.INT)]


def run(study: Study) -> list[TrialRecord]:
    """Run trials one after the other to the end."""
    records = []
    while (proposal := study.ask()) is not None:
        trial = succeed(proposal, loss=score(proposal.parameters))
        study.tell(trial)
        records.append(TrialRecord(trial))
    return records


def points_of(records: list[TrialRecord]) -> Points:
    return [record.trial.parameters for record in records]


def known_trials(points: Points) -> list[TrialReport]:
    return [
        succeed(Proposal(number, point), loss=score(point)).model_copy(
            update={"state": TrialState.CACHED}
        )
        for number, point in enumerate(points)
    ]


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_listed_points_are_tried_first_and_in_order(algorithm: SearchAlgorithm) -> None:
    points: Points = [{"train.a": "zzz", "train.b": 1}, {"train.a": "x", "train.b": 2}]
    tried = points_of(run(make_study(*FINITE, algorithm=algorithm, points=points)))
    assert tried[:2] == points
    assert sorted(map(str, tried)) == sorted(map(str, grid_points(FINITE)))


def test_what_a_point_leaves_out_is_what_random_search_draws_for_its_trial() -> None:
    drawn = points_of(run(make_study(*SPACE, algorithm=RANDOM, num_trials=2)))
    points: Points = [{"train.n": 3}, {"train.x": 0.5, "train.z": 2}]
    tried = points_of(run(make_study(*SPACE, algorithm=BAYESIAN, num_trials=2, points=points)))
    assert tried == [drawn[0] | points[0], drawn[1] | points[1]]


def test_a_point_is_spelt_as_the_space_spells_it() -> None:
    study = make_study(*SPACE, points=[{"train.x": 1, "train.z": 2, "train.n": 4.0}])
    proposal = study.ask()
    assert proposal is not None
    assert [(type(value), value) for value in proposal.parameters.values()] == [
        (float, 1.0), (int, 2), (int, 4),
    ]  # fmt: skip


def test_a_point_that_is_listed_twice_is_tried_once() -> None:
    point: dict[str, Scalar] = {"train.x": 0.5, "train.z": 2, "train.n": 4}
    tried = points_of(run(make_study(*SPACE, num_trials=4, points=[point, point])))
    assert [other for other in tried if other == point] == [point]


def test_no_more_points_are_tried_than_there_are_trials() -> None:
    points: Points = [{"train.n": number} for number in range(5)]
    assert len(run(make_study(*SPACE, num_trials=3, points=points))) == 3


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("train.x", 1.5, r"train\.x must be from -1 to 1 but is 1\.5"),
        ("train.x", "much", r"train\.x must be from -1 to 1 but is 'much'"),
        ("train.x", True, r"train\.x must be from -1 to 1 but is True"),
        ("train.z", 2.0, r'train\.z must be one of "a", 2 but is 2\.0'),
        ("train.n", 0.5, r"train\.n must be a whole number from 0 to 9 but is 0\.5"),
        ("train.q", 1, r"train\.q must be a searched parameter, one of train\.x.* but is 1"),
    ],
)
def test_a_value_that_is_not_in_the_space_is_refused(
    name: str, value: Scalar, message: str
) -> None:
    points: Points = [{"train.n": 1}, {name: value}]
    with pytest.raises(UserError, match=r"search\.warmStart\.points\[1\]\." + message):
        make_study(*SPACE, points=points)


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_f51_a_resumed_study_knows_which_points_were_tried(algorithm: SearchAlgorithm) -> None:
    points: Points = [{"train.b": 1}, {"train.a": "x"}, {"train.a": "x", "train.b": 2}]
    known = known_trials([{"train.a": "yy", "train.b": 0}])

    def make() -> Study:
        return make_study(*FINITE, algorithm=algorithm, points=points, known=known, num_trials=6)

    whole = run(make())
    for cut in range(len(whole) + 1):
        study = make()
        study.replay([TrialRecord.from_json(record.to_json()) for record in whole[:cut]])
        assert points_of(run(study)) == points_of(whole[cut:])


def test_points_that_are_listed_later_are_tried_next() -> None:
    records = run(make_study(*SPACE, num_trials=3, points=[{"train.n": 3, "train.x": 0.0}]))
    later: dict[str, Scalar] = {"train.x": 0.25, "train.z": "a", "train.n": 1}
    study = make_study(*SPACE, num_trials=5, points=[later])
    study.replay(records)
    assert points_of(run(study))[0] == later


def test_known_results_are_not_counted_and_their_points_may_be_tried_again() -> None:
    """This job has no weights of an earlier job's trials."""
    known = known_trials(list(grid_points(FINITE))[:4])
    for algorithm in ALGORITHMS.values():
        study = make_study(*FINITE, algorithm=algorithm, known=known, num_trials=50)
        records = run(study)
        assert study.known == tuple(known)
        assert [record.trial.number for record in records] == list(range(9))


def test_known_results_replace_the_startup_trials() -> None:
    known = known_trials([{"train.x": 0.3 + (-1) ** n * n / 40, "train.y": 0.3} for n in range(20)])

    def mean_loss(trials: list[TrialReport]) -> float:
        losses = []
        for seed in range(10):
            record = run(make_study(seed=seed, num_trials=1, known=trials))[0]
            losses.append(record.trial.values["loss"])
        return sum(losses) / len(losses)

    assert mean_loss(known) < mean_loss([])


@pytest.mark.parametrize(
    "parameters",
    [
        {"train.a": "x", "train.b": 7},
        {"train.a": 1, "train.b": 1},
        {"train.a": "x"},
        {"train.a": "x", "train.b": 1, "train.c": 1},
    ],
    ids=["past the range", "no choice", "too few", "too many"],
)
def test_results_that_are_no_point_of_this_space_are_left_out(
    parameters: dict[str, Scalar],
) -> None:
    known = known_trials([{"train.a": "yy", "train.b": 1}])
    study = make_study(*FINITE, known=[*known_trials([parameters]), *known])
    assert study.known == tuple(known)


def test_results_without_an_objective_are_left_out() -> None:
    accuracy = Objective(metric="accuracy", direction=Direction.MAXIMIZE)
    known = known_trials([{"train.a": "yy", "train.b": 1}])
    study = make_study(*FINITE, objectives=[LOSS, accuracy], known=known)
    assert study.known == ()
