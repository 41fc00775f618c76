"""Two processes train what one would: same data, same steps, same weights within rounding."""

from typing import Any

import pytest
import torch
from torch.multiprocessing.spawn import ProcessExitedException, spawn

from cluster.processes import find_free_ports
from team_work import CASES, EVALUATED, Summed, fit, flatten, work_as_member
from toy_training import Points, make_net
from trimtab_trainer.training.distributed import Team, join
from trimtab_trainer.training.evaluation import evaluate


def find_address() -> str:
    (port,) = find_free_ports(1)
    return f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("team")
    try:
        spawn(work_as_member, args=(find_address(), str(folder)), nprocs=2)
    except ProcessExitedException as error:
        # Very rarely gloo's own thread aborts a member (pytorch/gloo#514 is one way). As in a
        # run, a member that a signal ended costs one more try; one that raises costs the test.
        if error.signal_name is None:
            raise
        spawn(work_as_member, args=(find_address(), str(folder)), nprocs=2)
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


def test_the_metrics_of_a_team_are_those_of_the_weights_that_are_kept(
    found: list[dict[str, Any]],
) -> None:
    """Each member counts batch norm's means over its own share of the batches."""
    for told, alone in (member["batch norm"] for member in found):
        assert {name: told[name] for name in alone} == pytest.approx(alone)


def test_members_that_go_on_from_different_epochs_are_refused(found: list[dict[str, Any]]) -> None:
    words = [member["disagreed"] for member in found]
    assert words == [
        "all members of a team must go on from the same epoch but member"
        f" {rank} has done {rank} and the mean is 0.5"
        for rank in range(2)
    ]


@pytest.mark.parametrize("samples", EVALUATED)
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
    team = Team(0, 2, find_address())
    with pytest.raises(RuntimeError), join(team, device="cpu", timeout_seconds=0.2):
        pytest.fail("the other member never came")
    assert not torch.distributed.is_initialized()
