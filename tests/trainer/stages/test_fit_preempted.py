"""A training whose machine is taken away stores where it is and goes on from there, or from before."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from job_runs import make_search_job
from trimtab_api.defaults import DETECTED_PROFILE, expand_job
from trimtab_api.reports import EpochReport
from trimtab_api.v1alpha1.job import Spec
from trimtab_trainer.errors import PreemptedError
from trimtab_trainer.stages._bench import Bench
from trimtab_trainer.stages._fit import fit, unfinished
from trimtab_trainer.training import loop
from trimtab_trainer.training.checkpoint import load_checkpoint
from trimtab_trainer.training.loop import StepProgress


@pytest.fixture(autouse=True)
def _told_after_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_PROGRESS_SECONDS", 0.0)


def make_spec() -> Spec:
    job = make_search_job(train={"epochs": 3, "batchSize": 256})
    return expand_job(job, cores=1, detected=DETECTED_PROFILE).spec


def start(folder: Path) -> Any:
    bench = Bench(code_dir=folder, data_root=folder, cache_dir=folder / "cache")
    return fit(bench, spec=make_spec(), folder=folder / "trial", threads=1)


def take_away(training: Any) -> None:
    error = PreemptedError("the machine is being taken away")
    with pytest.raises(PreemptedError):
        training.throw(error)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder / "trial")[0]


def test_f40_a_training_goes_on_within_its_epoch_and_ends_with_the_same_weights(
    tmp_path: Path,
) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    list(start(straight))

    training = start(broken)
    seen = list(itertools.islice(training, 3))
    assert not any(isinstance(event, EpochReport) for event in seen)
    take_away(training)
    assert [path.name for path in unfinished(broken / "trial").glob("*.json")] == [
        "epoch-0000000.json"
    ]

    rest = list(start(broken))
    first = next(event for event in rest if isinstance(event, StepProgress))
    assert first.step == seen[-1].step + 1
    assert [event.epoch for event in rest if isinstance(event, EpochReport)] == [1, 2, 3]
    expected = weights(straight)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(broken).items())


def test_f40_a_training_that_is_diverging_goes_on_from_its_last_good_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = start(tmp_path)
    while not isinstance(next(training), EpochReport):
        pass
    next(training)
    monkeypatch.setattr(loop, "float", lambda _: float("nan"), raising=False)
    take_away(training)
    monkeypatch.undo()
    told = [event.epoch for event in start(tmp_path) if isinstance(event, EpochReport)]
    assert told == [1, 2, 3]
