"""SEAM: OpenVINO, loaded without its telemetry, and the note by which an IR says how to run it.

Called by the writer of IR files and by the runner that measures them; what they do with the
library is left to them. Left to itself OpenVINO computes in bf16 on every processor that has it,
so each of our files tells the type it was evaluated in, and whoever runs it has to obey.
"""

import importlib
import sys
from enum import StrEnum
from types import ModuleType
from typing import Any

__all__ = [
    "InferencePrecision",
    "describe_error",
    "load_openvino",
    "note_precision",
    "read_precision",
]

_CONVERTER = "openvino.tools.ovc"
_NOTE = ["trimtab", "inference_precision"]
_WHERE = ("Exception from ", "Check ")
_LONGEST_CAUSE = 200


class InferencePrecision(StrEnum):
    """The type that OpenVINO computes float layers in, in its own words."""

    F32 = "f32"
    BF16 = "bf16"


def load_openvino() -> ModuleType:
    """Import OpenVINO; seconds and memory are spent by the first call only.

    Importing the package as it is writes an identifier into the home folder and reports to a
    statistics service. Its conversion tool does that, which nothing here needs: an empty module
    in its place makes the package go without it.

    Raises:
        ImportError: It is not installed.
    """
    sys.modules.setdefault(_CONVERTER, ModuleType(_CONVERTER))
    return importlib.import_module("openvino")


def note_precision(model: Any, precision: InferencePrecision) -> None:
    """Write into an `openvino.Model` how it must be run; it is stored with the file."""
    model.set_rt_info(precision.value, _NOTE)


def read_precision(model: Any) -> InferencePrecision:
    """Return how an `openvino.Model` must be run; f32 where it does not say.

    Raises:
        ValueError: It says a type that is not known.
    """
    if not model.has_rt_info(_NOTE):
        return InferencePrecision.F32
    return InferencePrecision(model.get_rt_info(_NOTE).value)


def describe_error(error: Exception) -> str:
    """Return what OpenVINO says in one short line, without its places in its own source."""
    lines = [line for line in str(error).splitlines() if not line.startswith(_WHERE)]
    return " ".join(" ".join(lines or [str(error)]).split())[:_LONGEST_CAUSE]
