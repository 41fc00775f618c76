"""What a run ran on: versions, processor, cores.

Goes into the report, so that figures can be read later.
"""

import importlib.metadata
import os
import platform
import re
from pathlib import Path

from trimtab_api.labels import ENV_NODE

__all__ = ["describe_environment", "name_node"]

_PACKAGES = (
    "trimtab-trainer",
    "torch",
    "torchvision",
    "ray",
    "optuna",
    "onnx",
    "onnxruntime",
    "openvino",
)
_CPU_INFO = Path("/proc/cpuinfo")
_TELLING_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


def name_node() -> str:
    """Return the name of this machine, in a pod that of its node: a pod's own says nothing."""
    return os.environ.get(ENV_NODE) or platform.node()


def describe_environment(cores: int) -> dict[str, object]:
    """Return versions and hardware as JSON data.

    Args:
        cores: Cores that the run may use.
    """
    return {
        "node": name_node(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "processor": _processor_name(),
        "instructions": _instructions(),
        "cores": cores,
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def _read_cpu_info() -> str:
    try:
        return _CPU_INFO.read_text(encoding="utf-8")
    except OSError:
        return ""


def _processor_name() -> str:
    match = re.search(r"model name\s*:\s*(.+)", _read_cpu_info())
    return match[1].strip() if match else platform.processor()


def _instructions() -> list[str]:
    found = set(_read_cpu_info().split())
    return [flag for flag in _TELLING_FLAGS if flag in found]
