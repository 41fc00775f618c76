"""The report says of every candidate why it ships or does not, in a sentence with figures."""

from typing import Any

import pytest

from candidate_builder import make_candidate
from manifest_edits import edit_manifest
from trimtab_api.defaults import expand_job
from trimtab_api.explanation import explain_choices
from trimtab_api.reports import CandidateReport
from trimtab_api.stages import StageReason
from trimtab_api.v1alpha1.goals import Profile
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.validation import parse_job

BASELINE = {"accuracy": 0.9, "size_mib@edge": 8.0, "latency_p50_ms@edge": 4.0}
MINUS = "\N{MINUS SIGN}"


def make_spec(*constraints: dict[str, Any], quantize: Any = None, **target: Any) -> Spec:
    edits = {
        "spec.constraints": list(constraints),
        "spec.targets": [{"name": "edge", "profile": "cpu-edge", "prefer": "Size", **target}],
        "spec.stages.quantize": quantize or {},
    }
    return expand_job(parse_job(edit_manifest(edits)), cores=2, detected=Profile.CPU_EDGE).spec


def candidate(name: str, reason: Any = None, rejected: Any = None, **edge: Any) -> CandidateReport:
    """Return a candidate; keywords but accuracy are its figures on the target."""
    figures = {"size_mib": 8.0, "latency_p50_ms": 4.0, **edge}
    metrics = {"accuracy": figures.pop("accuracy", 0.9)} | {
        f"{metric}@edge": value for metric, value in figures.items() if value is not None
    }
    parent, _, technique = name.partition("-")
    changes = {"parent": parent if technique else None, "reason": reason, "rejected": rejected}
    return make_candidate("pruned", id=name, metrics=metrics, **changes)


def explain(
    candidates: list[CandidateReport], spec: Spec, linear_share: float | None = 0.0
) -> dict[str, tuple[str, str]]:
    choices = explain_choices(candidates, BASELINE, spec, linear_share=linear_share)
    assert {choice.target for choice in choices} == {"edge"}
    return {choice.candidate: (choice.outcome, choice.text) for choice in choices}


DENSE = candidate("dense")
SMALL = candidate("dense-int8", size_mib=2.0, latency_p50_ms=3.0)


def test_what_ships_is_best_in_what_is_preferred() -> None:
    spec = make_spec({"metric": "accuracy", "maxDrop": 0.01})
    assert explain([DENSE, SMALL], spec)["dense-int8"] == (
        "Ships",
        "smallest of 2 that keep every limit: 2.00 MiB, 4\N{MULTIPLICATION SIGN} smaller than the baseline",
    )


@pytest.mark.parametrize(
    ("target", "metrics", "text"),
    [
        (
            {"prefer": "Speed"},
            {"latency_p95_ms": 3.0},
            "fastest at p95 of 2 that may ship: 3.00 ms",
        ),
        (
            {"prefer": "Speed", "profile": "cpu-server"},
            {"throughput_per_s": 300.0},
            "fastest of 2 that may ship: 300 samples/s",
        ),
        (
            {"prefer": "Accuracy"},
            {"accuracy": 0.91},
            "best accuracy of 2 that may ship: 91.00 % (+1.00 points)",
        ),
    ],
)
def test_each_preference_has_its_superlative(
    target: dict[str, Any], metrics: dict[str, float], text: str
) -> None:
    best = candidate("dense-int8", size_mib=2.0, **metrics)
    assert explain([DENSE, best], make_spec(**target))["dense-int8"] == ("Ships", text)


@pytest.mark.parametrize(
    ("prefer", "metrics", "text"),
    [
        (
            "Speed",
            {"size_mib": 1.0},
            "as fast as dense-int8 within 3 %, and 2\N{MULTIPLICATION SIGN} smaller",
        ),
        (
            "Speed",
            {"accuracy": 0.92},
            "as fast and as large as dense-int8 within 3 %, and accuracy +2.00 points",
        ),
        (
            "Accuracy",
            {"throughput_per_s": 400.0},
            "as good in accuracy as dense-int8, and 33 % faster",
        ),
    ],
)
def test_what_ships_by_a_later_preference_says_with_whom_it_ties(
    prefer: str, metrics: dict[str, float], text: str
) -> None:
    first = candidate("dense-int8", size_mib=2.0, throughput_per_s=300.0)
    best = candidate("pruned-int8", **{"size_mib": 2.0, "throughput_per_s": 298.0, **metrics})
    found = explain([first, best], make_spec(prefer=prefer, profile="cpu-server"))
    outcome, said = found["pruned-int8"]
    assert outcome == "Ships"
    assert said.startswith(f"{text}: ")


def test_what_ships_because_it_was_made_first_says_so() -> None:
    first = candidate("dense-int8", size_mib=2.0, throughput_per_s=298.0)
    other = candidate("pruned-int8", size_mib=2.0, throughput_per_s=300.0)
    found = explain([first, other], make_spec(prefer="Speed", profile="cpu-server"))
    assert found["dense-int8"] == (
        "Ships",
        "equal to pruned-int8 within 3 %, and made first: 298 samples/s",
    )


def test_what_is_no_tie_is_compared_with_the_best_and_not_with_what_ships() -> None:
    found = explain(
        [
            candidate("fast-int8", size_mib=4.0, throughput_per_s=300.0),
            candidate("small-int8", size_mib=2.0, throughput_per_s=294.0),
            candidate("slow-int8", size_mib=1.0, throughput_per_s=288.0),
        ],
        make_spec(prefer="Speed", profile="cpu-server"),
    )
    assert found["small-int8"][0] == "Ships"
    assert found["slow-int8"] == ("Feasible", "4 % slower than fast-int8")


def test_the_only_one_that_keeps_the_limits_is_called_so() -> None:
    spec = make_spec({"metric": "size_mib", "max": 3})
    outcome, text = explain([DENSE, SMALL], spec)["dense-int8"]
    assert outcome == "Ships"
    assert text.startswith("the only one that keeps every limit: 2.00 MiB")


def test_where_no_limit_can_be_kept_the_nearest_ships_and_says_by_how_much() -> None:
    spec = make_spec({"metric": "size_mib", "max": 1.5})
    assert explain([DENSE, SMALL], spec)["dense-int8"] == (
        "Ships",
        "nearest to the limits: size_mib@edge max 1.5 is missed by 0.5 (2)",
    )


@pytest.mark.parametrize(
    ("prefer", "metrics", "text"),
    [
        ("Size", {"size_mib": 2.5}, "25 % larger than dense-int8"),
        (
            "Size",
            {"size_mib": 2.0, "latency_p95_ms": 3.3},
            "as large as dense-int8, but 10 % slower at p95",
        ),
        (
            "Size",
            {"size_mib": 2.05, "latency_p95_ms": 3.3},
            "as large as dense-int8 within 3 %, but 10 % slower at p95",
        ),
        (
            "Size",
            {"size_mib": 2.05, "latency_p95_ms": 3.05, "accuracy": 0.89},
            f"as large and as fast at p95 as dense-int8 within 3 %, but accuracy {MINUS}1.00 points",
        ),
        (
            "Size",
            {"size_mib": 2.05, "latency_p95_ms": 3.0},
            "equal to dense-int8 within 3 %, which was made first",
        ),
        ("Accuracy", {"accuracy": 0.89}, f"accuracy {MINUS}1.00 points against dense-int8"),
        (
            "Size",
            {"size_mib": 2.0, "latency_p95_ms": 3.0},
            "equal to dense-int8, which was made first",
        ),
    ],
)
def test_what_is_feasible_is_compared_where_it_first_differs(
    prefer: str, metrics: dict[str, float], text: str
) -> None:
    best = candidate("dense-int8", size_mib=2.0, latency_p95_ms=3.0)
    other = candidate("pruned-int8", **{"latency_p50_ms": 3.0, **metrics})
    found = explain([best, other], make_spec(prefer=prefer))
    assert found["pruned-int8"] == ("Feasible", text)


def test_a_limit_that_is_missed_is_named_with_the_figure() -> None:
    spec = make_spec({"metric": "accuracy", "maxDrop": 0.01}, {"metric": "size_mib", "max": 7.9})
    bad = candidate("pruned-int8", accuracy=0.85, size_mib=7.95)
    assert explain([SMALL, bad], spec)["pruned-int8"] == (
        "OverLimit",
        "accuracy maxDrop 0.01 is missed by 0.04 (0.05), and 1 more",
    )


def test_a_limit_without_figure_is_said_to_have_none() -> None:
    spec = make_spec({"metric": "memory_mib", "max": 50})
    found = explain([DENSE, candidate("dense-int8", memory_mib=10.0, size_mib=2.0)], spec)
    assert found["dense"] == ("OverLimit", "memory_mib@edge max 50 has no figure")


def test_f69_what_gains_nothing_is_rejected_with_the_figures() -> None:
    slow = candidate("dense-int8", latency_p50_ms=4.48)
    assert explain([DENSE, slow], make_spec())["dense-int8"] == (
        "Rejected",
        "neither smaller nor faster than dense on edge: 12 % slower, as large",
    )


def test_f69_a_rejection_of_the_stage_keeps_its_words() -> None:
    empty = candidate("pruned", StageReason.NO_GAIN, "nothing could be cut", size_mib=1.0)
    assert explain([DENSE, empty], make_spec())["pruned"] == ("Rejected", "nothing could be cut")


def test_smaller_but_slower_stays_a_candidate() -> None:
    slow = candidate("dense-int8", size_mib=2.0, latency_p50_ms=8.0)
    assert explain([DENSE, slow], make_spec())["dense-int8"][0] == "Ships"


def test_a_rung_that_makes_no_sense_for_the_network_says_why() -> None:
    found = explain([DENSE, SMALL], make_spec(), linear_share=0.03)
    assert found["int8-dynamic"] == (
        "Unbuilt",
        "linear layers hold 3 % of the FLOPs, it takes 50 %",
    )


def test_a_rung_that_the_runtime_does_not_run_says_so() -> None:
    found = explain([DENSE], make_spec(runtime="torch", profile="mobile"))
    assert found["int8"] == ("Unbuilt", "torch on cpu runs no 8-bit weights and activations")
    assert found["fp16"] == ("Unbuilt", "no model was built with it")


def test_a_candidate_without_a_file_for_the_target_says_why() -> None:
    elsewhere = candidate("dense-int8-weights", size_mib=None, latency_p50_ms=None)
    spec = make_spec(runtime="torch", profile="mobile")
    odd = candidate("dense-odd", size_mib=None)
    assert explain([DENSE, odd], spec)["dense-odd"] == ("Unbuilt", "has no file for torch on cpu")
    asked = make_spec(quantize={"method": "WeightOnly"})
    target = asked.targets[0].model_copy(update={"runtime": "torch"})
    asked = asked.model_copy(update={"targets": (target,)})
    found = explain([DENSE, elsewhere], asked)
    assert found == {
        "dense": ("Ships", "the only one that may ship: 8.00 MiB"),
        "dense-int8-weights": ("Unbuilt", "torch on cpu runs no 8-bit weights, fp32 compute"),
    }


def test_layers_kept_float_are_the_reason_where_a_runtime_knows_no_such_exception() -> None:
    asked = make_spec(runtime="openvino", profile="mobile", quantize={"keepFloat": ["stem.*"]})
    unbuilt = candidate("dense-fp16", size_mib=None, latency_p50_ms=None)
    assert explain([DENSE, unbuilt], asked)["dense-fp16"] == (
        "Unbuilt",
        "openvino on cpu stores all weights in 16 bits, quantize.keepFloat forbids it",
    )


def test_a_file_that_was_not_timed_has_no_verdict() -> None:
    untimed = candidate("dense-int8", latency_p50_ms=None)
    assert explain([DENSE, untimed], make_spec())["dense-int8"] == (
        "Unmeasured",
        "has no figures on edge",
    )


def test_without_quantization_no_technique_is_missed() -> None:
    spec = make_spec()
    plain = spec.model_copy(update={"stages": spec.stages.model_copy(update={"quantize": None})})
    assert set(explain([DENSE], plain)) == {"dense"}
