"""IDX files as MNIST and Fashion-MNIST come in them, plain or gzipped.

Called by the catalog for `dataset.idx`. The format (http://yann.lecun.com/exdb/mnist): two zero
bytes, the type (8 = unsigned byte), the number of dimensions, each dimension as a big-endian
32-bit number, then the data in C order.
"""

import gzip
import math
import zlib
from pathlib import Path

import torch

from trimtab_api.v1alpha1.model import Dataset
from trimtab_trainer.data._base import DataBundle
from trimtab_trainer.data.images import LabelledImages, bundle_images
from trimtab_trainer.data.node_cache import NodeCache
from trimtab_trainer.errors import DatasetInvalidError, DatasetUnavailableError
from trimtab_trainer.storage.hashes import fingerprint

__all__ = ["load_idx", "read_idx"]

_WHITE = 255
_UNSIGNED_BYTE = 8
_WORD = 4
_TEST_NAMES = ("t10k", "test")


def load_idx(
    folder: Path,
    dataset: Dataset,
    *,
    seed: int,
    num_classes: int | None = None,
    cache: NodeCache | None = None,
) -> DataBundle:
    """Load a folder of IDX files.

    Expected are `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, each alone or with
    `.gz`, and optionally the same two with `t10k` or `test` instead of `train`.

    Args:
        folder: The folder.
        dataset: Shares of the splits, and normalization.
        seed: Seed of the splits.
        num_classes: `model.args.num_classes`; it allows classes without a sample.
        cache: Where one copy is kept for all processes of the node.

    Raises:
        DatasetUnavailableError: The folder or a file is missing or cannot be read.
        DatasetInvalidError: A file is no IDX file of the expected kind, is cut off, or its
            samples cannot be used; file, sample or split is named.
        UserError: `dataset.normalize` does not fit gray images.
    """
    if not folder.is_dir():
        raise DatasetUnavailableError(f"dataset.idx must be a folder but {folder} is none")
    if cache is None:
        found = _read_folder(folder)
    else:
        found = cache.tensors(_key(folder), lambda: _read_folder(folder))
    tested = "test_images" in found
    return bundle_images(
        LabelledImages(found["images"], found["labels"]),
        LabelledImages(found["test_images"], found["test_labels"]) if tested else None,
        scale=_WHITE,
        split=dataset.split,
        normalize=dataset.normalize,
        seed=seed,
        declared_classes=num_classes,
    )


def read_idx(path: Path, *, dimensions: int) -> torch.Tensor:
    """Read one IDX file of unsigned bytes.

    Args:
        path: The file; it is decompressed if its name ends in `.gz`.
        dimensions: The number of dimensions that it must have.

    Returns:
        uint8, in the file's own shape.

    Raises:
        DatasetUnavailableError: The file cannot be read.
        DatasetInvalidError: It is another kind of file, or its length is not what its head says.
    """
    content = _read(path)
    if len(content) < _WORD or content[:2] != b"\0\0":
        raise DatasetInvalidError(f"{path} must be an IDX file but does not begin like one")
    if (content[2], content[3]) != (_UNSIGNED_BYTE, dimensions):
        raise DatasetInvalidError(
            f"{path} must hold unsigned bytes (type 8) in {dimensions} dimensions but has type"
            f" {content[2]} in {content[3]}"
        )
    head = _WORD * (1 + dimensions)
    words = (content[start : start + _WORD] for start in range(_WORD, head, _WORD))
    shape = [int.from_bytes(word, "big") for word in words]
    if len(content) != head + math.prod(shape):
        raise DatasetInvalidError(
            f"{path} must have {head + math.prod(shape)} bytes for shape {shape} but has"
            f" {len(content)}"
        )
    # An empty buffer is refused by torch; a split without samples is named by its loader.
    data = torch.frombuffer(content, dtype=torch.uint8, offset=head) if math.prod(shape) else None
    return torch.empty(shape, dtype=torch.uint8) if data is None else data.reshape(shape)


def _read(path: Path) -> bytearray:
    try:
        content = path.read_bytes()
        return bytearray(gzip.decompress(content) if path.suffix == ".gz" else content)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DatasetInvalidError(f"{path} must be a whole gzip file but: {error}") from error
    except OSError as error:
        raise DatasetUnavailableError(f"{path} cannot be read: {error.strerror}") from error


def _find(folder: Path, name: str) -> Path | None:
    candidates = (folder / name, folder / f"{name}.gz")
    return next((path for path in candidates if path.is_file()), None)


def _key(folder: Path) -> str:
    """Return a name that changes with the files of a folder."""
    try:
        status = {path.name: path.stat() for path in folder.iterdir()}
    except OSError as error:
        raise DatasetUnavailableError(f"{folder} cannot be read: {error.strerror}") from error
    files = {name: [found.st_size, found.st_mtime_ns] for name, found in status.items()}
    return f"idx-{fingerprint({'folder': str(folder.resolve()), 'files': files})}"


def _read_folder(folder: Path) -> dict[str, torch.Tensor]:
    images, labels = _read_labelled(folder, "train")
    found = {"images": images, "labels": labels}
    for name in _TEST_NAMES:
        if _find(folder, f"{name}-images-idx3-ubyte"):
            found["test_images"], found["test_labels"] = _read_labelled(folder, name)
            break
    return found


def _read_labelled(folder: Path, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    tensors = []
    for stem, dimensions in ((f"{name}-images-idx3-ubyte", 3), (f"{name}-labels-idx1-ubyte", 1)):
        path = _find(folder, stem)
        if path is None:
            raise DatasetUnavailableError(f"{folder} must hold {stem} or {stem}.gz but has neither")
        tensors.append(read_idx(path, dimensions=dimensions))
    images, labels = tensors
    if len(images) != len(labels):
        raise DatasetInvalidError(
            f"split {name} of {folder} must have a label for each of its {len(images)} images but"
            f" has {len(labels)}"
        )
    return images.unsqueeze(1), labels.to(torch.int64)
