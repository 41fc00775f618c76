"""A trouble with storage lasts until the one who has it can write, whatever the others do."""

from typing_extensions import override

from trimtab_api.v1alpha1.conditions import DegradedReason
from trimtab_trainer.reporting._base import AbstractReporter, Event, ProblemRaised, ProblemSolved
from trimtab_trainer.stages._trouble import TroubleWatch
from trimtab_trainer.storage.patience import StorageTrouble

FULL = StorageTrouble(DegradedReason.STORAGE_FULL, "No space left on device")


class Recorder(AbstractReporter):
    """Keeps the kinds of events."""

    def __init__(self) -> None:
        self.kinds: list[type[Event]] = []

    @override
    def publish(self, event: Event) -> None:
        self.kinds.append(type(event))


def test_f58_progress_of_another_slot_does_not_end_a_trouble() -> None:
    recorder = Recorder()
    watch = TroubleWatch(recorder)
    assert watch.note(FULL, 0)
    assert not watch.note("a step", 1)
    assert watch.note(FULL, 0)
    assert watch.current == FULL
    assert recorder.kinds == [ProblemRaised]


def test_f58_a_trouble_is_told_once_and_over_when_all_can_write() -> None:
    recorder = Recorder()
    watch = TroubleWatch(recorder)
    watch.note(FULL, 0)
    watch.note(FULL, "driver")
    watch.clear(0)
    assert recorder.kinds == [ProblemRaised]
    watch.clear("driver")
    assert recorder.kinds == [ProblemRaised, ProblemSolved]
    assert (watch.current, watch.last) == (None, FULL)
