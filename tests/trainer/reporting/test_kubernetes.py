"""Reports are few, show that the run lives, survive every failure, and bring back what is wanted."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from report_builder import make_report
from trimtab_api.labels import KEY_CONTROL, KEY_PROGRESS
from trimtab_api.progress import ENTRY_LIMIT, Outcome, OutcomeResult, parse_progress, parse_stage
from trimtab_api.stages import StageName, StageState
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import StageStatus, Status
from trimtab_trainer.reporting._base import Event, StageProgress, StageStarted
from trimtab_trainer.reporting.config_map import ApiRefusedError
from trimtab_trainer.reporting.kubernetes import KubernetesReporter
from trimtab_trainer.reporting.progress_view import Identity, ProgressView
from trimtab_trainer.supervision import Snapshot, Wishes

SPEC = Spec.model_validate(make_report().manifest)
PROGRESS = StageProgress(StageName.TRAIN, 1, 5, "epoch 1/5")
LONG = 20.0


@dataclass
class Desk:
    """The ConfigMap, a clock that the test moves, and a reporter between them."""

    there: dict[str, str] = field(default_factory=dict)
    sent: list[Mapping[str, str]] = field(default_factory=list)
    refusals: int = 0
    now: float = 100.0
    status: Status = field(default_factory=Status)

    def __post_init__(self) -> None:
        view = ProgressView(Identity("uid-1", 2), SPEC)
        self.reporter = KubernetesReporter(view, attempt=2, send=self.send, clock=lambda: self.now)

    def send(self, keys: Mapping[str, str]) -> Mapping[str, str]:
        if self.refusals:
            self.refusals -= 1
            raise ApiRefusedError("status 503: not now")
        self.sent.append(keys)
        self.there.update(keys)
        return dict(self.there)

    def ask(self, *events: Event, after: float = 0.0) -> Wishes:
        """Publish, let time pass, ask, and wait until what is to be sent was sent."""
        for event in events:
            self.reporter.publish(event)
        self.now += after
        self.reporter.ask(lambda: Snapshot(self.status))
        assert self.reporter.flush(LONG)
        return self.reporter.ask(lambda: Snapshot(self.status))

    def control(self, **document: object) -> None:
        self.there[KEY_CONTROL] = json.dumps(document)


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.reporter.abandon()


def test_the_first_report_comes_at_once_and_the_next_with_news_after_five_seconds(
    desk: Desk,
) -> None:
    desk.ask()
    desk.ask(PROGRESS, after=4.9)
    assert len(desk.sent) == 1
    desk.ask(after=0.2)
    assert len(desk.sent) == 2
    assert parse_progress(desk.there[KEY_PROGRESS]).message == "epoch 1/5"


def test_a_change_of_the_stage_does_not_wait(desk: Desk) -> None:
    desk.ask()
    desk.ask(StageStarted(StageName.PRUNE), after=0.1)
    assert parse_progress(desk.there[KEY_PROGRESS]).stage is StageName.PRUNE


def test_f47_a_run_without_news_shows_every_quarter_minute_that_it_lives(desk: Desk) -> None:
    desk.ask()
    desk.ask(after=14.9)
    assert len(desk.sent) == 1
    desk.ask(after=0.2)
    assert [parse_progress(keys[KEY_PROGRESS]).sequence for keys in desk.sent] == [1, 2]


def test_f47_a_run_that_does_not_ask_falls_silent(desk: Desk) -> None:
    desk.ask()
    desk.reporter.publish(StageStarted(StageName.PRUNE))
    desk.now += 1000
    assert desk.reporter.flush(LONG)
    assert len(desk.sent) == 1


def test_f46_a_refused_report_is_sent_again_as_it_is_then(desk: Desk) -> None:
    desk.refusals = 1
    desk.reporter.ask(lambda: Snapshot(desk.status))
    desk.ask(StageStarted(StageName.PRUNE))
    assert parse_progress(desk.there[KEY_PROGRESS]).sequence == 2


def test_wishes_come_back_with_the_answer(desk: Desk) -> None:
    assert desk.ask() == Wishes()
    desk.control(attempt=2, numTrials=9, parallelTrials=1, stop=True)
    assert desk.ask(after=15) == Wishes(9, 1, stop=True)


@pytest.mark.parametrize("text", ["{", '{"attempt": 2, "numTrials": -1}', "[]", "\x00"])
def test_f46_what_is_no_wish_changes_nothing(desk: Desk, text: str) -> None:
    desk.control(attempt=2, numTrials=9)
    assert desk.ask().num_trials == 9
    desk.there[KEY_CONTROL] = text
    assert desk.ask(after=15).num_trials == 9
    del desk.there[KEY_CONTROL]
    assert desk.ask(after=15).num_trials == 9


def test_wishes_for_another_attempt_are_not_obeyed(desk: Desk) -> None:
    desk.control(attempt=1, stop=True)
    assert desk.ask() == Wishes()


def test_f42_nothing_is_written_over_the_report_of_a_later_attempt(desk: Desk) -> None:
    desk.control(attempt=3)
    desk.ask()
    desk.ask(StageStarted(StageName.PRUNE))
    desk.ask(after=60)
    assert len(desk.sent) == 1


def test_a_stage_has_its_entry_once_and_again_where_it_was_deleted(desk: Desk) -> None:
    desk.status = make_status(metrics={"accuracy": 0.9})
    desk.ask()
    desk.ask(after=15)
    assert ["train.json" in keys for keys in desk.sent] == [True, False]
    entry = parse_stage(desk.there.pop("train.json"))
    assert (entry.uid, entry.attempt, entry.stage.metrics) == ("uid-1", 2, {"accuracy": 0.9})
    desk.ask(after=15)
    desk.ask(after=15)
    assert "train.json" in desk.there


def test_f43_an_entry_that_does_not_fit_has_no_figures(desk: Desk) -> None:
    desk.status = make_status(metrics={f"metric_{'x' * 50}_{n}": 0.1 for n in range(80)})
    desk.ask()
    text = desk.there["train.json"]
    assert len(text) <= ENTRY_LIMIT
    assert parse_stage(text).stage.metrics == {}


def make_status(metrics: dict[str, float]) -> Status:
    stage = StageStatus(name=StageName.TRAIN, state=StageState.SUCCEEDED, metrics=metrics)
    return Status(stages=(stage,))


def test_the_end_waits_until_its_report_is_taken(desk: Desk) -> None:
    desk.refusals = 1
    assert desk.reporter.end(Outcome(result=OutcomeResult.STOPPED), timeout=LONG)
    outcome = parse_progress(desk.there[KEY_PROGRESS]).outcome
    assert outcome is not None
    assert outcome.result is OutcomeResult.STOPPED


def test_f46_the_end_does_not_wait_for_ever(desk: Desk) -> None:
    desk.refusals = 10**6
    assert not desk.reporter.end(Outcome(result=OutcomeResult.STOPPED), timeout=0.01)
