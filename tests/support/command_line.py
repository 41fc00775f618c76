"""What the fixtures of the command line's tests give, for annotations."""

from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

__all__ = ["RunCommand", "WriteManifest"]

RunCommand = Callable[..., Result]
WriteManifest = Callable[..., Path]
