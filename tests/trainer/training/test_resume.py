"""A training that is stopped and gone on with gives the weights of one that never stopped."""

import itertools
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typing_extensions import override

from toy_training import Regression, make_net, make_points, make_recipe
from trimtab_api.v1alpha1.train import FloatDtype, LossScaleMode, Optimizer, PrecisionDtype
from trimtab_trainer.errors import CheckpointRefusedError, DivergedError
from trimtab_trainer.training.loop import EpochResult, StepProgress, Training
from trimtab_trainer.training.series import CheckpointSeries

CASES: dict[str, dict[str, Any]] = {
    "adamw": {},
    "sgd": {"optimizer": Optimizer.SGD},
    "fp16": {"dtype": PrecisionDtype.FP16},
    "static": {
        "dtype": PrecisionDtype.FP16,
        "loss_scale": LossScaleMode.STATIC,
        "loss_scale_value": 1024.0,
    },
    "steps": {"epochs": None, "steps": 7, "accumulate_steps": 2},
}


def start(
    case: str, *, seed: int = 0, clock: Callable[[], float] = lambda: 0.0
) -> tuple[nn.Module, Training]:
    model = make_net(dropout=0.3, seed=seed)
    recipe = make_recipe(**{"epochs": 4, **CASES[case]})
    return model, Training(
        model, data=make_points(40), task=Regression(), recipe=recipe, seed=3, clock=clock
    )


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def take_epochs(training: Training, count: int) -> None:
    events = (event for event in training.run() if isinstance(event, EpochResult))
    for _ in range(count):
        next(events)


def facts(results: Any) -> list[EpochResult]:
    return [replace(result, seconds=0.0) for result in results]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("epochs", [0, 1])
def test_a_restored_training_gives_the_same_weights_bit_by_bit(case: str, epochs: int) -> None:
    straight_model, straight = start(case)
    results = list(straight.run())
    _, stopped = start(case)
    take_epochs(stopped, epochs)
    state = stopped.state()
    model, resumed = start(case, seed=99)
    resumed.restore(state)
    rest = list(resumed.run())
    assert torch.equal(weights(model), weights(straight_model))
    assert facts(rest) == facts(results[epochs:])
    assert facts(resumed.history) == facts(results)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("events", [1, 4, 6])
def test_f40_a_training_stopped_within_an_epoch_gives_the_same_weights_bit_by_bit(
    case: str, events: int
) -> None:
    straight_model, straight = start(case)
    results = list(straight.run())
    # Seen by this clock, a second passes between any two steps: there is an event after each.
    _, stopped = start(case, clock=itertools.count().__next__)
    seen = list(itertools.islice(stopped.run(), events))
    assert isinstance(seen[-1], StepProgress)
    state = stopped.state()
    model, resumed = start(case, seed=99)
    resumed.restore(state)
    list(resumed.run())
    assert torch.equal(weights(model), weights(straight_model))
    assert facts(resumed.history) == facts(results)


def test_f40_a_training_stopped_while_it_is_evaluated_has_only_that_left_to_do() -> None:
    _, straight = start("fp16")
    results = list(straight.run())
    _, stopped = start("fp16", clock=itertools.count().__next__)
    for event in stopped.run():
        if isinstance(event, StepProgress) and event.step == event.steps:
            break
    state = stopped.state()
    _, resumed = start("fp16", seed=99, clock=itertools.count().__next__)
    resumed.restore(state)
    first = next(resumed.run())
    assert isinstance(first, StepProgress)
    assert first.step == first.steps
    list(resumed.run())
    assert facts(resumed.history) == facts(results)


def test_f40_an_epoch_that_is_stopped_and_gone_on_with_keeps_its_time() -> None:
    _, stopped = start("adamw", clock=itertools.count().__next__)
    next(stopped.run())
    state = stopped.state()
    part = {**state.facts["part"], "seconds": 1000.0}
    _, resumed = start("adamw")
    resumed.restore(replace(state, facts={**state.facts, "part": part}))
    first, second, *_ = resumed.run()
    assert isinstance(first, EpochResult)
    assert isinstance(second, EpochResult)
    assert second.seconds < 1000 <= first.seconds


def test_a_state_is_a_copy() -> None:
    _, training = start("adamw")
    take_epochs(training, 1)
    state = training.state()
    before = {name: tensor.clone() for name, tensor in state.tensors.items()}
    list(training.run())
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.tensors.items())
    assert state.epoch == 1


PROGRAM = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path[:0] = sys.argv[3:]
from test_resume import start, take_epochs
from trimtab_trainer.training.series import CheckpointSeries
model, training = start(sys.argv[1])
take_epochs(training, 2)
CheckpointSeries(Path(sys.argv[2]), keep=1, owner="me").save(2, training.state())
"""


def test_f59_a_checkpoint_of_another_process_goes_on_bit_by_bit(tmp_path: Path) -> None:
    case = "fp16"
    straight_model, straight = start(case)
    list(straight.run())
    support = Path(__file__).parents[2] / "support"
    subprocess.run(
        [
            sys.executable,
            "-c",
            PROGRAM,
            case,
            str(tmp_path),
            str(support),
            str(Path(__file__).parent),
        ],
        check=True,
    )
    state = CheckpointSeries(tmp_path, keep=1, owner="me").newest(pytest.fail)
    assert state is not None
    model, resumed = start(case, seed=99)
    resumed.restore(state)
    assert [event.epoch for event in resumed.run() if isinstance(event, EpochResult)] == [3, 4]
    assert torch.equal(weights(model), weights(straight_model))


def test_a_training_in_a_wider_type_goes_on_in_it() -> None:
    recipe = make_recipe(dtype=PrecisionDtype.FP16, fallback=(FloatDtype.FP32,), epochs=3)
    first = Training(HotNet(), data=make_points(40), task=Regression(), recipe=recipe, seed=3)
    take_epochs(first, 1)
    second = Training(HotNet(), data=make_points(40), task=Regression(), recipe=recipe, seed=3)
    second.restore(first.state())
    results = [event for event in second.run() if isinstance(event, EpochResult)]
    assert [result.numerics.dtype for result in results] == ["fp32", "fp32"]
    assert results[0].numerics.fallback_from is None
    assert second.history[0].numerics.fallback_from == "fp16"


class HotNet(nn.Module):
    """Its values are past the range of fp16."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(16, 8)
        self.second = nn.Linear(8, 1)

    @override
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.second(self.first(inputs * 1e5) * 1e-5)
        return output


def test_a_state_within_an_epoch_that_has_diverged_is_refused() -> None:
    net = make_net()
    with torch.no_grad():
        next(net.parameters()).fill_(math.nan)
    training = Training(
        net,
        data=make_points(40),
        task=Regression(),
        recipe=make_recipe(),
        seed=0,
        clock=iter(range(1000)).__next__,
    )
    assert isinstance(next(training.run()), StepProgress)
    with pytest.raises(DivergedError, match="training loss must be a finite number but is nan"):
        training.state()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ("shape", r"0\.weight must have shape \(32, 16\) but has \(3,\)"),
        ("name", r"other must have shape None but has \(3,\)"),
        ("optimizer", r"the optimizer's 77\.exp_avg must be of one of 6 weights"),
        ("facts", "must be one of this training but: KeyError: 'dtype'"),
        ("dtype", "must be one of this training but: ValueError"),
    ],
)
def test_f59_the_state_of_another_training_is_refused(edit: str, message: str) -> None:
    _, training = start("adamw")
    take_epochs(training, 1)
    state = training.state()
    tensors, facts = dict(state.tensors), dict(state.facts)
    match edit:
        case "shape":
            tensors["model.0.weight"] = torch.ones(3)
        case "name":
            tensors["model.other"] = torch.ones(3)
        case "optimizer":
            tensors["optimizer.77.exp_avg"] = torch.ones(3)
        case "facts":
            del facts["dtype"]
        case _:
            facts["dtype"] = "fp7"
    _, other = start("adamw")
    with pytest.raises(CheckpointRefusedError, match=message):
        other.restore(replace(state, tensors=tensors, facts=facts))
