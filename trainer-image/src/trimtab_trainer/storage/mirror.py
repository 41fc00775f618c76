"""What lies in storage besides the local files: nothing, or the objects of a bucket.

`filesystem` and the trial log ask `find_mirror` for whatever covers a path, and tell it what they
publish and remove. A run on one machine or on a claim has none: its files are the storage. One
process attaches its mirror when it starts and keeps it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import final

from typing_extensions import override

__all__ = ["AbstractMirror", "attach_mirror", "fetch_named", "find_mirror"]


class AbstractMirror(ABC):
    """Storage behind a local folder; every method may raise OSError as a file system does."""

    @abstractmethod
    def publish(self, content: Path, path: Path) -> None:
        """Store a file's content under the name that `path` is about to have."""

    @abstractmethod
    def remove(self, path: Path) -> None:
        """Remove what is stored at and below a path; nothing there is no error."""

    @abstractmethod
    def fetch(self, paths: Iterable[Path]) -> None:
        """Bring what others published at and below some paths; what they removed goes here, too.

        A file named here brings its companions: all that differ in the last suffix alone.
        """

    @abstractmethod
    def list_folders(self, folder: Path) -> set[str]:
        """Return the names of the folders that are stored in a folder."""

    @abstractmethod
    def fetch_log(self, path: Path) -> None:
        """Bring the records of a trial log as one file; without any there is no file."""

    @abstractmethod
    def append_log(self, path: Path, sequence: int, line: bytes) -> None:
        """Store one record of a trial log, unless another was stored under its number.

        Raises:
            FencedError: Another process stored another one.
        """


@final
class _Nothing(AbstractMirror):
    """The local files are all there is."""

    @override
    def publish(self, content: Path, path: Path) -> None:
        pass

    @override
    def remove(self, path: Path) -> None:
        pass

    @override
    def fetch(self, paths: Iterable[Path]) -> None:
        pass

    @override
    def list_folders(self, folder: Path) -> set[str]:
        return set()

    @override
    def fetch_log(self, path: Path) -> None:
        pass

    @override
    def append_log(self, path: Path, sequence: int, line: bytes) -> None:
        pass


_NOTHING = _Nothing()
_attached: dict[Path, AbstractMirror] = {}
"""Root → what mirrors it, in this process."""


def attach_mirror(root: Path, mirror: AbstractMirror) -> None:
    """Let a mirror cover what lies below an absolute folder, in place of an earlier one."""
    _attached[root] = mirror


def find_mirror(path: Path) -> AbstractMirror:
    """Return what covers a path; where nothing does, a mirror that does nothing."""
    for root, mirror in _attached.items():
        if path.is_relative_to(root):
            return mirror
    return _NOTHING


def fetch_named(values: Iterable[object]) -> None:
    """Fetch what others published at the paths among some values, in mappings of them, too.

    Called in a slot with the arguments of a piece of work, before it: work names by its arguments
    all files of the run that it reads.

    Raises:
        OSError: The storage does not answer.
    """
    named: dict[AbstractMirror, list[Path]] = {}
    for path in _find_paths(values):
        named.setdefault(find_mirror(path), []).append(path)
    for mirror, paths in named.items():
        mirror.fetch(paths)


def _find_paths(values: Iterable[object]) -> Iterable[Path]:
    for value in values:
        if isinstance(value, Path):
            yield value
        elif isinstance(value, Mapping):
            yield from _find_paths(value.values())
