"""The small examples, run whole by the command that their reader types."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.ray_apart
@pytest.mark.timeout(600)
@pytest.mark.parametrize("example", ["01-smoke", "03-own-code"])
def test_a_small_example_meets_its_goals(example: str, tmp_path: Path) -> None:
    manifest = ROOT / "examples" / example / "job.yaml"
    command = [sys.executable, "-m", "trimtab_cli", "run", str(manifest), "--output", "run"]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert [stage["state"] for stage in report["status"]["stages"]] == ["Succeeded"] * 6
    assert (tmp_path / "run" / report["status"]["result"]["artifact"]).is_file()
