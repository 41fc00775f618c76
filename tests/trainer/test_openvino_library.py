"""OpenVINO is used without its telemetry: nothing is sent, stored or printed."""

import os
import subprocess
import sys
from pathlib import Path

from onnx_builder import make_linear

PROGRAM = """
import socket, sys
def refuse(*args, **kwargs):
    raise RuntimeError("a connection was tried")
socket.socket.connect = socket.getaddrinfo = refuse
from pathlib import Path
from trimtab_trainer.benchmarking.runners import open_runner
from trimtab_trainer.exporting.openvino_ir import IrWeights, convert_openvino
from trimtab_trainer.openvino_library import InferencePrecision
source, target = map(Path, sys.argv[1:])
written = convert_openvino(
    source, target, weights=IrWeights.FP32, precision=InferencePrecision.F32
)
runner = open_runner(written.path, threads=1)
runner.run(runner.make_inputs(1))
print([name for name in sys.modules if "telemetry" in name])
"""


def test_converting_and_running_load_no_telemetry_and_leave_the_home_folder_alone(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    source = make_linear(tmp_path / "x.onnx")
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(source), str(tmp_path / "x.xml")],
        env={name: value for name, value in os.environ.items() if name != "CI"}
        | {"HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.strip() == "[]"
    assert process.stderr == ""
    assert list(home.rglob("*")) == []
