"""Modules of a user: written into a folder under a name that no other test uses."""

import itertools
import textwrap
from pathlib import Path

__all__ = ["write_module"]

_NUMBERS = itertools.count()


def write_module(folder: Path, source: str) -> str:
    name = f"user_module_{next(_NUMBERS)}"
    (folder / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
    return name
