"""What each of two processes does in the tests of teams: the same trainings, results in a folder."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from toy_training import Points, Regression, make_net, make_points, make_recipe
from trimtab_api.v1alpha1.train import FloatDtype, Optimizer, PrecisionDtype
from trimtab_trainer.errors import CheckpointRefusedError, DivergedError
from trimtab_trainer.training.distributed import Team, join
from trimtab_trainer.training.evaluation import evaluate
from trimtab_trainer.training.loop import EpochResult, Training

__all__ = ["CASES", "EVALUATED", "Summed", "fit", "flatten", "work_as_member"]

# 41 samples in batches of 10: the last batch has 11, which two members cannot halve.
SAMPLES = 41
CASES: dict[str, dict[str, Any]] = {
    "adamw": {"epochs": 2},
    "parts": {"epochs": 2, "accumulate_steps": 3, "optimizer": Optimizer.SGD},
    # One sample a batch is left for one member: the other only keeps up.
    "small": {"epochs": 1, "batch_size": 3},
    "fp16": {"epochs": 1, "dtype": PrecisionDtype.FP16, "loss_scale_value": 256.0},
}
EVALUATED = (1, 2, 5, 600)


class Cliff(Regression):
    """A loss that is no number for one sample only, so for one member only."""

    @override
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


def disagree(team: Team) -> str:
    """Go on from an epoch that the other member has not seen."""
    data, recipe = make_points(SAMPLES), make_recipe(epochs=2)
    alone, member = (
        Training(make_net(), data=data, task=Regression(), recipe=recipe, seed=3, team=those)
        for those in (Team(), team)
    )
    if team.rank == 1:
        next(event for event in alone.run() if isinstance(event, EpochResult))
        member.restore(alone.state())
    try:
        list(member.run())
    except CheckpointRefusedError as error:
        return str(error)
    return "did agree"


def score_with_buffers(team: Team) -> tuple[dict[str, float], dict[str, float]]:
    """Return the last metrics of a network with batch norm, and those of its weights alone."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
    data, recipe = make_points(SAMPLES), make_recipe(epochs=1, batch_size=10)
    training = Training(model, data=data, task=Regression(), recipe=recipe, seed=3, team=team)
    list(training.run())
    return dict(training.history[-1].metrics), evaluate(model, data.validation, Regression())


def work_as_member(rank: int, address: str, folder: str) -> None:
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
        found["disagreed"] = disagree(team)
        found["batch norm"] = score_with_buffers(team)
        for samples in EVALUATED:
            metrics = evaluate(torch.sum, Points(samples), Summed(), team=team)
            found[f"evaluated {samples}"] = metrics
    torch.save(found, Path(folder) / f"{rank}.pt")


class Summed(Regression):
    """The sum over a batch's outputs, as a mean."""

    @override
    def metrics(self, output: torch.Tensor, target: torch.Tensor) -> dict[str, float]:
        return {"mean": float(output) / len(target), "loss": float(target.square().mean())}
