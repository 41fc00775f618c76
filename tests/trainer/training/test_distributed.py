"""Two processes train what one would: same data, same steps, same weights within rounding."""

import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.multiprocessing import spawn

from toy_training import Points, Regression, make_net, make_points, make_recipe
from trimtab_api.v1alpha1.train import FloatDtype, Optimizer, PrecisionDtype
from trimtab_trainer.errors import DivergedError
from trimtab_trainer.training.distributed import Team, join
from trimtab_trainer.training.evaluation import evaluate
from trimtab_trainer.training.loop import EpochResult, Training

# 41 samples in batches of 10: the last batch has 11, which two members cannot halve.
SAMPLES = 41
CASES: dict[str, dict[str, Any]] = {
    "adamw": {"epochs": 2},
    "parts": {"epochs": 2, "accumulate_steps": 3, "optimizer": Optimizer.SGD},
    # One sample a batch is left for one member: the other only keeps up.
    "small": {"epochs": 1, "batch_size": 3},
    "fp16": {"epochs": 1, "dtype": PrecisionDtype.FP16, "loss_scale_value": 256.0},
}


class Cliff(Regression):
    """A loss that is no number for one sample only, so for one member only."""

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        loss = super().loss(output, target)
        is_bad = bool((target == Points(SAMPLES).batch(torch.tensor([7]))[1]).any())
        return loss * float("nan") if is_bad and torch.is_grad_enabled() else loss


def flatten(model: nn.Module) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def fit(case: str, team: Team) -> tuple[torch.Tensor, list[EpochResult]]:
    # Members start from the weights of the first, whatever theirs are.
    model = make_net(seed=team.rank)
    recipe = make_recipe(**{"batch_size": 10, **CASES[case]})
    training = Training(
        model, data=make_points(SAMPLES), task=Regression(), recipe=recipe, seed=3, team=team
    )
    results = [event for event in training.run() if isinstance(event, EpochResult)]
    return flatten(model), results


def diverge(team: Team, fallback: tuple[FloatDtype, ...]) -> str:
    recipe = make_recipe(dtype=PrecisionDtype.BF16, fallback=fallback)
    model = make_net()
    training = Training(
        model, data=make_points(SAMPLES), task=Cliff(), recipe=recipe, seed=3, team=team
    )
    try:
        list(training.run())
    except DivergedError as error:
        return str(error)
    return "did not diverge"


def member(rank: int, address: str, folder: str) -> None:
    """Train all cases as one of two members and leave the weights in a folder."""
    torch.set_num_threads(1)
    team = Team(rank, 2, address)
    found: dict[str, Any] = {}
    with join(team, device="cpu", timeout_seconds=60):
        for case in CASES:
            weights, results = fit(case, team)
            found[case] = (weights, [dict(result.metrics) for result in results])
        found["diverged"] = diverge(team, ())
        found["fell back"] = diverge(team, (FloatDtype.FP32,))
        for samples in (1, 2, 5, 600):
            metrics = evaluate(torch.sum, Points(samples), Summed(), team=team)
            found[f"evaluated {samples}"] = metrics
    torch.save(found, Path(folder) / f"{rank}.pt")


class Summed(Regression):
    """The sum over a batch's outputs, as a mean."""

    def metrics(self, output: torch.Tensor, target: torch.Tensor) -> dict[str, float]:
        return {"mean": float(output) / len(target), "loss": float(target.square().mean())}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("team")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    here = str(Path(__file__).parent)
    sys.path.insert(0, here)
    try:
        from test_distributed import member as importable

        spawn(importable, args=(address, str(folder)), nprocs=2)
    finally:
        sys.path.remove(here)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("case", CASES)
def test_a_team_trains_what_one_process_would(found: list[dict[str, Any]], case: str) -> None:
    (first, metrics), (second, same_metrics) = (member[case] for member in found)
    assert torch.equal(first, second)
    assert metrics == same_metrics
    expected, results = fit(case, Team())
    start = flatten(make_net())
    tolerance = 1e-3 if case == "fp16" else 1e-5
    assert (first - expected).norm() <= tolerance * (expected - start).norm()
    for result, found_metrics in zip(results, metrics, strict=True):
        assert found_metrics == pytest.approx(dict(result.metrics), rel=1e-3)


def test_f49_all_members_diverge_alike(found: list[dict[str, Any]]) -> None:
    first, second = (member["diverged"] for member in found)
    assert first == second
    assert "training loss must be a finite number but is nan" in first
    assert [member["fell back"] for member in found] == [first.replace("bf16", "fp32")] * 2


@pytest.mark.parametrize("samples", [1, 2, 5, 600])
def test_members_evaluate_a_range_each_and_know_the_whole(
    found: list[dict[str, Any]], samples: int
) -> None:
    expected = evaluate(torch.sum, Points(samples), Summed())
    first, second = (member[f"evaluated {samples}"] for member in found)
    assert first == second == pytest.approx(expected)


def test_a_team_of_one_connects_nothing() -> None:
    with join(Team(), device="cpu"):
        assert not torch.distributed.is_initialized()


def test_members_that_do_not_come_end_the_wait() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(RuntimeError), join(Team(0, 2, address), device="cpu", timeout_seconds=0.2):
        pytest.fail("the other member never came")
    assert not torch.distributed.is_initialized()
