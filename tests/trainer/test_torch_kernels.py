"""What oneDNN inside PyTorch may use."""

import os
import subprocess
import sys

from trimtab_trainer.environment import describe_environment

_PROGRAM = """
import os
import trimtab_trainer.training.loop
assert "ONEDNN_MAX_CPU_ISA" not in os.environ, "OpenVINO would be slowed down"
import torch
network = torch.nn.Conv2d(3, 64, 7).bfloat16()
network(torch.rand(8, 3, 32, 32).bfloat16())
"""


def test_networks_never_run_on_amx_unless_the_environment_allows_it() -> None:
    flags = str(describe_environment(1))
    for allowed in (None, "AVX10_1_512_AMX"):
        environment = {**os.environ, "ONEDNN_VERBOSE": "1"}
        environment.pop("ONEDNN_MAX_CPU_ISA", None)
        program = _PROGRAM
        if allowed is not None:
            environment["ONEDNN_MAX_CPU_ISA"] = allowed
            program = program.replace(" not in ", " in ")
        shown = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "primitive,exec,cpu,convolution" in shown
        assert ("_amx" in shown) is (allowed is not None and "amx_bf16" in flags)
