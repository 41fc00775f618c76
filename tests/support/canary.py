"""Content that runs code when it is unpickled: whoever reads it safely leaves no trace of it."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import override

__all__ = ["Canary", "Pickled"]


@dataclass(frozen=True, slots=True)
class Pickled:
    """An object whose pickle makes a file."""

    path: Path

    @override
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


@dataclass(frozen=True, slots=True)
class Canary:
    """A file that is there once somebody was careless."""

    path: Path

    @property
    def content(self) -> bytes:
        """Return a pickle that makes the file."""
        return pickle.dumps(Pickled(self.path))

    def check(self) -> None:
        """See that nobody was careless, and that it would have been noticed.

        Raises:
            AssertionError: The file is there, or its pickle does not make it.
        """
        if self.path.exists():
            raise AssertionError("a pickle was loaded")
        pickle.loads(self.content)
        if not self.path.exists():
            raise AssertionError("the pickle would not have been noticed")
        self.path.unlink()
