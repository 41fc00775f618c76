"""The programs of the docs run exported files of every format where there is no Trimtab."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from export_models import make_net
from source_tree import ROOT
from trimtab_trainer.exporting.onnx_graph import export_onnx
from trimtab_trainer.exporting.openvino_ir import IrWeights, convert_openvino
from trimtab_trainer.exporting.torch_program import export_pt2
from trimtab_trainer.openvino_library import InferencePrecision

# A name in sys.modules that is None cannot be imported. OpenVINO's converter would report its use,
# as ONNX Runtime would without the variable.
PROGRAM = """
import runpy, sys
for name in ("trimtab_api", "trimtab_trainer", "trimtab_cli", "openvino.tools.ovc"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, net, example = tmp_path_factory.mktemp("artifacts"), make_net(), torch.rand(2, 1, 6, 6)
    source = export_onnx(net, example=example, path=folder / "x.onnx", opset=18).path
    export_pt2(net, example=example, path=folder / "x.pt2")
    convert_openvino(
        source, folder / "x.xml", weights=IrWeights.FP16, precision=InferencePrecision.F32
    )
    return folder


@pytest.mark.parametrize(
    ("program", "artifact"),
    [
        ("load_onnx", "x.onnx"),
        # Importing what torch.export.load needs takes seconds.
        pytest.param("load_pt2", "x.pt2", marks=pytest.mark.slow),
        ("load_openvino", "x.xml"),
    ],
)
def test_an_artifact_classifies_an_image_without_trimtab(
    artifacts: Path, tmp_path: Path, program: str, artifact: str
) -> None:
    image = torch.rand(1, 6, 6, generator=torch.Generator().manual_seed(1))
    expected = int(make_net().eval()(image[None]).argmax())
    np.save(tmp_path / "image.npy", image.numpy())
    script = ROOT / "docs" / "how-to" / f"{program}.py"
    command = [sys.executable, "-c", PROGRAM, script, artifacts / artifact, tmp_path / "image.npy"]
    env = os.environ | {"ORT_DISABLE_TELEMETRY": "1"}
    process = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert process.stdout.split() == ["class", str(expected)]


def test_every_program_is_explained() -> None:
    folder = ROOT / "docs" / "how-to"
    text = (folder / "use-an-artifact.md").read_text(encoding="utf-8")
    programs = {path.name for path in folder.glob("load_*.py")}
    assert {name for name in programs if f"({name})" in text} == programs
    assert len(programs) == 3
