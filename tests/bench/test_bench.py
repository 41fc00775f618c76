"""Each benchmark runs its quick mode to the end, prints its tables and writes finite numbers."""

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from bench import compression, training
from source_tree import ROOT

pytestmark = pytest.mark.timeout(900)

SLOW = [pytest.mark.slow]
SLOW_WITH_RAY = [pytest.mark.slow, pytest.mark.ray_apart]
PROGRAMS = [
    pytest.param("search_quality", [], "ours beside Optuna's", marks=SLOW),
    pytest.param("overhead", [], "trials of 1000 ms, 2 workers", marks=SLOW_WITH_RAY),
    pytest.param("training", [], "ResNet-18: speed of training", marks=SLOW),
    pytest.param("compression", [], "small-cnn: files", marks=SLOW_WITH_RAY),
    pytest.param("coverage", ["--models", "squeezenet1_1"], "trimtab: every network", marks=SLOW),
]


@pytest.mark.parametrize(("program", "options", "table"), PROGRAMS)
def test_a_benchmark_runs_quickly_and_tells_what_it_found(
    program: str, options: list[str], table: str, tmp_path: Path
) -> None:
    path = tmp_path / "found.json"
    ended = subprocess.run(
        [sys.executable, "-m", f"bench.{program}", "--quick", "--json", str(path), *options],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(path.read_text(encoding="utf-8"))
    lines = ended.stdout.splitlines()
    assert table in lines
    assert "figures and goals" in lines
    assert {"command", "machine", "settings"} <= found.keys()
    assert found["tables"][table]
    assert any(figure["met"] is not None for figure in found["figures"])
    numbers = list(list_numbers(found["tables"]))
    assert numbers
    assert all(map(math.isfinite, numbers))


@pytest.mark.parametrize("main", [training.main, compression.main])
def test_a_benchmark_without_its_data_says_what_brings_them(
    main: Callable[[Sequence[str]], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--data", str(tmp_path / "nowhere")])
    told = capsys.readouterr().err
    assert "--data must be a folder of IDX files" in told
    assert "make data" in told


def list_numbers(document: object) -> Iterator[float]:
    if isinstance(document, dict):
        document = list(document.values())
    if isinstance(document, list):
        for entry in document:
            yield from list_numbers(entry)
    elif isinstance(document, (int, float)):
        yield document
