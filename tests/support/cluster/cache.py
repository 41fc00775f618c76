"""The folder in which built programs and images stay between runs, and the lock that guards it.

Everything that builds asks here for its place. What is built there is up to the callers.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["cache_folder", "hash_parts", "hold_lock"]


def cache_folder() -> Path:
    """Return `TRIMTAB_CACHE`, or the folder `trimtab` in the user's cache."""
    own = os.environ.get("TRIMTAB_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trimtab"


def hash_parts(parts: Iterable[str]) -> str:
    """Return a short hash of texts, for the name of what is built from them."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@contextmanager
def hold_lock(name: str) -> Iterator[None]:
    """Let one process at a time build one thing; the others wait and then find it."""
    folder = cache_folder() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
