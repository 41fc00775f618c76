"""What the processes of one node share: data that the first of them makes and the others map.

Called by the loaders, which say what is kept under which key. The folder and its removal are the
caller's. A cache that is full, read-only or broken never fails a job: the loader is told, and the
process uses its own copy.
"""

import fcntl
import json
import math
import mmap
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trimtab_trainer.storage.filesystem import read_json, staged, write_json
from trimtab_trainer.storage.hashes import fingerprint, sha256_file

__all__ = ["NodeCache", "TensorShape"]

_ALIGNMENT = 64
_TYPES = {"uint8": torch.uint8, "int64": torch.int64}


@dataclass(frozen=True, slots=True)
class TensorShape:
    """Type and shape of a tensor that is yet to be filled."""

    dtype: str
    """`uint8` or `int64`."""
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """Return the number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tensor lies in its file."""

    tensor: TensorShape
    offset: int

    @property
    def end(self) -> int:
        return self.offset + self.tensor.count * _TYPES[self.tensor.dtype].itemsize


class NodeCache:
    """A folder of tensors by key; one file is made by one process and mapped by all.

    Mapped tensors share the node's memory. Whoever writes into one changes a copy of its own.
    """

    def __init__(self, root: Path) -> None:
        """Use a folder, which is made when it is first needed."""
        self._root = root
        self._warnings: list[str] = []

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return why something could not be kept, one line each, for the user."""
        return tuple(self._warnings)

    def tensors(
        self, key: str, make: Callable[[], Mapping[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """Return the tensors of a key, mapped; the first process makes them, the others wait.

        Args:
            key: Stands for the content, such as a hash of what it is made of; a file name.
            make: Gives uint8 or int64 tensors by name; what it raises is raised here.

        Returns:
            The mapped tensors, or those that were made where they cannot be kept.
        """
        with self._locked(key):
            found = self._find(key)
            if found is not None:
                return found
            made = dict(make())
            layout = {name: _describe(tensor) for name, tensor in made.items()}

            def copy(targets: Mapping[str, torch.Tensor]) -> None:
                for name, target in targets.items():
                    target.copy_(made[name])

            kept = self._write(key, layout, copy)
            return made if kept is None else kept

    def filled(
        self,
        key: str,
        layout: Mapping[str, TensorShape],
        fill: Callable[[Mapping[str, torch.Tensor]], object],
    ) -> dict[str, torch.Tensor] | None:
        """Return the tensors of a key, mapped; the first process fills them where they lie.

        Unlike `tensors` it never holds all of them in its own memory.

        Args:
            key: As for `tensors`.
            layout: Type and shape by name.
            fill: Writes into the tensors that it is given; what it raises is raised here, save
                OSError, which counts as the cache's own.

        Returns:
            The mapped tensors, or None where they cannot be kept.
        """
        with self._locked(key):
            found = self._find(key)
            return self._write(key, layout, fill) if found is None else found

    def record(self, key: str, make: Callable[[], Any]) -> Any:
        """Return the JSON value of a key; the first process makes it, the others read it."""

        def encode() -> dict[str, torch.Tensor]:
            text = json.dumps(make(), allow_nan=False).encode("ascii")
            return {"json": torch.frombuffer(bytearray(text), dtype=torch.uint8)}

        return json.loads(self.tensors(key, encode)["json"].numpy().tobytes())

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Hold the key's lock; a folder that cannot be locked is one where nothing is kept."""
        with ExitStack() as stack:
            try:
                self._root.mkdir(parents=True, exist_ok=True)
                lock = stack.enter_context((self._root / f"{key}.lock").open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX)
            except OSError as error:
                self._warn(error)
            yield

    def _find(self, key: str) -> dict[str, torch.Tensor] | None:
        """Map what is there, or return None where nothing is, or nothing whole.

        The manifest is written last and holds the hash of the data, which is checked once per
        process: a flipped bit would otherwise be trained on.
        """
        path = self._data_path(key)
        try:
            manifest = read_json(self._manifest_path(key))
            if manifest is None or manifest["check"] != _check_of(manifest):
                return None
            if manifest["sha256"] != sha256_file(path):
                return None
            return _map(path, _parse_places(manifest["tensors"]), mmap.ACCESS_COPY)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write(
        self,
        key: str,
        layout: Mapping[str, TensorShape],
        fill: Callable[[Mapping[str, torch.Tensor]], object],
    ) -> dict[str, torch.Tensor] | None:
        places = _arrange(layout)
        path = self._data_path(key)
        try:
            # What a killed process left may fill the disk; the lock says that none is at work.
            for left in self._root.glob(f".tmp-*-{path.name}"):
                left.unlink()
            with staged(path) as temporary:
                _allocate(temporary, max((place.end for place in places.values()), default=0))
                fill(_map(temporary, places, mmap.ACCESS_WRITE))
                sha256 = sha256_file(temporary)
            content = {"tensors": _render_places(places), "sha256": sha256}
            write_json(self._manifest_path(key), {**content, "check": _check_of(content)})
            return _map(path, places, mmap.ACCESS_COPY)
        except OSError as error:
            self._warn(error)
            return None

    def _warn(self, error: OSError) -> None:
        text = (
            f"data cannot be kept for all processes of the node in {self._root}: {error.strerror};"
            " each process uses its own copy"
        )
        if text not in self._warnings:
            self._warnings.append(text)

    def _data_path(self, key: str) -> Path:
        return self._root / f"{key}.tensors"

    def _manifest_path(self, key: str) -> Path:
        return self._root / f"{key}.json"


def _describe(tensor: torch.Tensor) -> TensorShape:
    return TensorShape(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))


def _arrange(layout: Mapping[str, TensorShape]) -> dict[str, _Place]:
    places, end = {}, 0
    for name, tensor in layout.items():
        place = _Place(tensor, math.ceil(end / _ALIGNMENT) * _ALIGNMENT)
        places[name], end = place, place.end
    return places


def _render_places(places: Mapping[str, _Place]) -> dict[str, list[Any]]:
    return {
        name: [place.tensor.dtype, list(place.tensor.shape), place.offset]
        for name, place in places.items()
    }


def _parse_places(rendered: Mapping[str, list[Any]]) -> dict[str, _Place]:
    return {
        name: _Place(TensorShape(dtype, tuple(shape)), offset)
        for name, (dtype, shape, offset) in rendered.items()
    }


def _check_of(manifest: Mapping[str, Any]) -> str:
    return fingerprint({"tensors": manifest["tensors"], "sha256": manifest["sha256"]})


def _allocate(path: Path, size: int) -> None:
    """Take the space first: a disk that fills up under a mapping kills the process."""
    with path.open("wb") as file:
        # An empty file cannot be mapped.
        os.posix_fallocate(file.fileno(), 0, max(size, _ALIGNMENT))


def _map(path: Path, places: Mapping[str, _Place], access: int) -> dict[str, torch.Tensor]:
    with path.open("r+b" if access == mmap.ACCESS_WRITE else "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=access)
    return {name: _view(mapped, place) for name, place in places.items()}


def _view(mapped: mmap.mmap, place: _Place) -> torch.Tensor:
    dtype = _TYPES[place.tensor.dtype]
    if place.tensor.count == 0:  # torch refuses an empty buffer
        return torch.empty(place.tensor.shape, dtype=dtype)
    flat = torch.frombuffer(mapped, dtype=dtype, count=place.tensor.count, offset=place.offset)
    return flat.reshape(place.tensor.shape)
