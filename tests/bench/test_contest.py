"""The best rival is the one of least size × latency among those that stay accurate enough."""

from pathlib import Path

import pytest
import torch

from bench.contest import Cost, Entry, Stopwatch, find_best, loses_at_most, measure_costs
from trimtab_trainer.exporting.onnx_graph import export_onnx

DENSE = Entry("fp32", Cost(10.0, 2.0), score=0.9, test_score=0.9)


def make_rival(way: str, size: float, latency: float, score: float) -> Entry:
    return Entry(way, Cost(size, latency), score=score, test_score=score)


def test_the_best_rival_has_the_least_product_and_not_the_least_size() -> None:
    small = make_rival("small", 1.0, 9.0, 0.9)
    balanced = make_rival("balanced", 2.0, 1.0, 0.9)
    assert find_best([small, balanced], DENSE, 0.01) is balanced


def test_a_rival_that_loses_too_much_does_not_count() -> None:
    wrong = make_rival("wrong", 0.1, 0.1, 0.88)
    fair = make_rival("fair", 2.0, 1.0, 0.89)
    assert find_best([wrong, fair], DENSE, 0.01) is fair


def test_without_an_accurate_rival_the_dense_file_is_the_one_to_beat() -> None:
    assert find_best([make_rival("wrong", 0.1, 0.1, 0.5)], DENSE, 0.01) is DENSE


def test_a_drop_of_exactly_the_limit_is_allowed_in_spite_of_rounding() -> None:
    dense = make_rival("fp32", 1.0, 1.0, 0.3)
    assert loses_at_most(make_rival("edge", 1.0, 1.0, 0.3 - 0.1), dense, 0.1)
    assert not loses_at_most(make_rival("past", 1.0, 1.0, 0.1999), dense, 0.1)


def test_a_stopwatch_adds_the_times_of_a_name() -> None:
    watch = Stopwatch({"work": 100.0})
    with watch.time("work"):
        pass
    with watch.time("rest"):
        pass
    assert watch.seconds["work"] >= 100
    assert 0 <= watch.seconds["rest"] < 100


def test_files_are_sized_and_timed_by_their_way(tmp_path: Path) -> None:
    files = {}
    for way, width in (("narrow", 2), ("wide", 64)):
        files[way] = tmp_path / f"{way}.onnx"
        model = torch.nn.Linear(8, width)
        export_onnx(model, example=torch.rand(2, 8), path=files[way], opset=18)
    costs = measure_costs(files, repeats=5)
    assert list(costs) == ["narrow", "wide"]
    assert costs["wide"].size_mib > costs["narrow"].size_mib
    assert costs["wide"].size_mib == pytest.approx(files["wide"].stat().st_size / 2**20)
    assert all(cost.latency_ms > 0 for cost in costs.values())
