"""A network of the coverage benchmark is covered, or fails at a step that is named with a reason."""

import json

import pytest

from bench.coverage import list_networks, read_finding
from bench.coverage_probe import MARK, Step, check_savings


def tell(**facts: object) -> str:
    return "".join(f"{MARK}{json.dumps({key: value})}\n" for key, value in facts.items())


def test_a_process_that_comes_to_its_end_covers_its_network() -> None:
    finding = read_finding("alexnet", tell(size=63, error=1e-6, step=Step.DONE), 2.0, "code 0")
    assert finding.reason is None
    assert finding.to_row()["result"] == "covered"
    assert finding.to_row()["size"] == 63


def test_what_a_process_raises_is_told_with_the_step() -> None:
    told = tell(step=Step.EXPORT, reason="ExportFailedError: no operator")
    finding = read_finding("alexnet", told, 2.0, "its process ended with code 1")
    assert finding.to_row()["result"] == "export: ExportFailedError: no operator"


def test_a_process_that_is_killed_is_told_by_its_end_though_its_last_line_is_cut_off() -> None:
    told = "{a library talks}\n" + tell(step=Step.PRUNE, params_saved=0.25) + f'{MARK}{{"flops_sa'
    finding = read_finding("alexnet", told, 2.0, "not done in 2 s")
    row = finding.to_row()
    assert (row["result"], row["parameters saved, %"]) == ("prune: not done in 2 s", 25.0)
    assert row["FLOPs saved, %"] is None


def test_a_process_that_tells_nothing_fails_at_the_start() -> None:
    assert read_finding("alexnet", "", 0.1, "code -9").to_row()["result"] == "start: code -9"


@pytest.mark.parametrize(
    ("params", "flops", "went"), [(95, 50, "5.0% and 50.0%"), (50, 100, "50.0% and 0.0%")]
)
def test_a_network_that_hardly_shrinks_does_not_count(
    params: int, flops: int, went: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=f"but {went} went"):
        check_savings((100, 100), (params, flops))
    facts = read_finding("alexnet", capsys.readouterr().out, 1.0, "").facts
    assert facts == pytest.approx(
        {"params_saved": 1 - params / 100, "flops_saved": 1 - flops / 100}
    )


def test_a_network_that_shrinks_counts(capsys: pytest.CaptureFixture[str]) -> None:
    check_savings((100, 100), (89, 99))
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_all_families_are_among_the_networks_but_none_of_more_than_100_million() -> None:
    networks = list_networks()
    assert len(networks) >= 63
    assert {"vit_b_16", "shufflenet_v2_x1_0", "swin_t", "maxvit_t"} <= set(networks)
    assert not {"vgg16", "vit_l_16", "convnext_large"} & set(networks)
