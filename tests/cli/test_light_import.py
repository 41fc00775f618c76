"""The command line stays light: no torch, no Ray, no trainer unless `run` starts, no client of a cluster unless it is asked."""

import os
import subprocess
import sys

import pytest

from command_line import WriteManifest

HEAVY = {
    *("torch", "ray", "numpy", "optuna", "onnxruntime", "trimtab_trainer"),
    *("kubernetes", "kopf", "botocore", "prometheus_client"),
}
PROGRAM = """
import sys
from trimtab_cli.__main__ import main
sys.argv = ["trimtab", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    print(end.code, *(name for name in sys.modules if "." not in name), file=sys.stderr)
"""


@pytest.mark.parametrize("words", [["validate"], ["plan"], ["plan", "--children"]], ids=" ".join)
def test_a_command_imports_nothing_heavy(write_manifest: WriteManifest, words: list[str]) -> None:
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words, str(write_manifest())],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )

    code, *modules = process.stderr.split()
    assert code == "0"
    assert HEAVY.isdisjoint(modules)
