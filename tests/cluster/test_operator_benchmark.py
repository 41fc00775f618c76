"""The benchmark of operators runs quickly to its end on a real API server and tells what it found."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from source_tree import ROOT

pytestmark = [pytest.mark.cluster_a, pytest.mark.slow, pytest.mark.timeout(600)]


def test_the_operator_is_measured_beside_minimal_ones(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    ended = subprocess.run(
        [sys.executable, "-m", "bench.operator", "--quick", "--json", str(path)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert "figures and goals" in ended.stdout.splitlines()
    rows = json.loads(path.read_text(encoding="utf-8"))["tables"]["operators"]
    assert [row["operator"] for row in rows] == [
        "trimtab",
        "kopf on.event",
        "kopf on.create/update",
    ]
    assert all(row["writes a job"] >= 2 and row["latency ms"] > 0 for row in rows)
