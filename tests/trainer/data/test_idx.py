"""Folders of IDX files are read plain or gzipped; what is missing or broken is named."""

import gzip
from pathlib import Path

import pytest
import torch

from canary import Canary
from image_data import make_images, write_idx
from s3_server import Bucket, bucket, s3_server
from trimtab_api.v1alpha1.model import Cache, Dataset
from trimtab_trainer.data import idx
from trimtab_trainer.data._base import DataBundle
from trimtab_trainer.data.catalog import load_dataset
from trimtab_trainer.data.idx import load_idx, read_idx
from trimtab_trainer.data.node_cache import NodeCache
from trimtab_trainer.errors import DatasetInvalidError, DatasetUnavailableError

__all__ = ["bucket", "s3_server"]

DATASET = Dataset(idx="pvc://data/mnist")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    given = make_images(40)
    folder = tmp_path / "data" / "mnist"
    write_idx(folder / "train-images-idx3-ubyte", given.images.squeeze(1))
    write_idx(folder / "train-labels-idx1-ubyte", given.labels)
    return folder


def compress(path: Path) -> None:
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def test_a_claim_is_read(folder: Path, tmp_path: Path) -> None:
    data = load_dataset(DATASET, seed=0, code_dir=None, data_root=tmp_path)
    assert data.test is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (28, 6, 6)
    assert data.num_classes == 4
    assert data.image is not None
    assert (data.image.channels, data.image.height, data.image.width) == (1, 8, 8)


def test_gzipped_files_give_the_same_data(folder: Path) -> None:
    plain = load_idx(folder, DATASET, seed=0)
    for path in tuple(folder.iterdir()):
        compress(path)
    assert load_idx(folder, DATASET, seed=0).digest == plain.digest


@pytest.mark.parametrize("name", ["t10k", "test"])
def test_a_test_split_is_found(folder: Path, name: str) -> None:
    given = make_images(10, seed=1)
    write_idx(folder / f"{name}-images-idx3-ubyte", given.images.squeeze(1))
    write_idx(folder / f"{name}-labels-idx1-ubyte", given.labels)
    data = load_idx(folder, DATASET, seed=0)
    assert data.test is not None
    images, labels = data.test.batch(torch.arange(10))
    assert torch.equal((images * 255).round().to(torch.uint8), given.images)
    assert torch.equal(labels, given.labels)


def test_f62_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnavailableError, match=r"dataset.idx must be a folder but .*mnist"):
        load_dataset(DATASET, seed=0, code_dir=None, data_root=tmp_path)


def test_f62_a_wrong_uri_is_unavailable_data(tmp_path: Path) -> None:
    dataset = DATASET.model_copy(update={"idx": "pvc://data/../secret"})
    with pytest.raises(DatasetUnavailableError, match=r"dataset.idx: "):
        load_dataset(dataset, seed=0, code_dir=None, data_root=tmp_path)


def test_f62_a_missing_file_is_named(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DatasetUnavailableError, match=r"train-labels-idx1-ubyte or .*\.gz"):
        load_idx(folder, DATASET, seed=0)


def test_f62_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnavailableError, match="cannot be read: Is a directory"):
        read_idx(tmp_path, dimensions=3)


def test_f64_an_empty_data_set_is_named(folder: Path) -> None:
    write_idx(folder / "train-images-idx3-ubyte", torch.empty(0, 8, 8))
    write_idx(folder / "train-labels-idx1-ubyte", torch.empty(0))
    with pytest.raises(DatasetInvalidError, match="split train must have samples but is empty"):
        load_idx(folder, DATASET, seed=0)


def test_f64_missing_labels_are_counted(folder: Path) -> None:
    write_idx(folder / "train-labels-idx1-ubyte", torch.zeros(39))
    with pytest.raises(DatasetInvalidError, match="each of its 40 images but has 39"):
        load_idx(folder, DATASET, seed=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "does not begin like one"),
        (b"PK\x03\x04 other", "does not begin like one"),
        (bytes([0, 0, 13, 1, 0, 0, 0, 0]), r"\(type 8\) in 1 dimensions but has type 13 in 1"),
        (bytes([0, 0, 8, 3, 0, 0, 0, 0]), r"in 1 dimensions but has type 8 in 3"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 3, 1, 2]), r"must have 11 bytes for shape \[3\] but has 10"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 1, 1, 2]), r"must have 9 bytes for shape \[1\] but has 10"),
        (bytes([0, 0, 8, 1, 255]), "must have"),
    ],
    ids=["empty", "zip", "floats", "images", "cut off", "too long", "cut off head"],
)
def test_f64_a_file_of_another_kind_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "train-labels-idx1-ubyte"
    path.write_bytes(content)
    with pytest.raises(DatasetInvalidError, match=message):
        read_idx(path, dimensions=1)


@pytest.mark.parametrize("packed", [False, True])
def test_f60_a_pickle_under_the_name_of_a_data_file_is_refused_and_runs_no_code(
    folder: Path, tmp_path: Path, packed: bool
) -> None:
    canary = Canary(tmp_path / "canary")
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(canary.content)
    if packed:
        compress(path)
    with pytest.raises(DatasetInvalidError, match="must be an IDX file"):
        load_idx(folder, DATASET, seed=0, cache=NodeCache(tmp_path / "cache"))
    canary.check()


@pytest.mark.parametrize("keep", [0, 5, 40])
def test_f64_a_torn_gzip_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = write_idx(tmp_path / "labels", torch.arange(200))
    compress(path)
    packed = tmp_path / "labels.gz"
    packed.write_bytes(packed.read_bytes()[:keep])
    with pytest.raises(DatasetInvalidError):
        read_idx(packed, dimensions=1)


def test_a_class_without_a_sample_is_fine_where_the_network_has_it(
    folder: Path, tmp_path: Path
) -> None:
    labels = torch.arange(40) % 4
    write_idx(folder / "train-labels-idx1-ubyte", labels + (labels == 3))
    data = load_dataset(DATASET, seed=0, code_dir=None, data_root=tmp_path, num_classes=5)
    assert data.num_classes == 5
    with pytest.raises(DatasetInvalidError, match=r"has 4; .* set model\.args\.num_classes"):
        load_dataset(DATASET, seed=0, code_dir=None, data_root=tmp_path)


@pytest.mark.parametrize("tested", [False, True])
def test_a_node_keeps_one_copy_while_the_files_stay(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tested: bool
) -> None:
    if tested:
        given = make_images(10, seed=1)
        write_idx(folder / "test-images-idx3-ubyte", given.images.squeeze(1))
        write_idx(folder / "test-labels-idx1-ubyte", given.labels)
    plain = load_idx(folder, DATASET, seed=0)
    node = NodeCache(tmp_path / "cache")
    kept = DATASET.model_copy(update={"cache": Cache.NODE})

    def load() -> DataBundle:
        return load_dataset(kept, seed=0, code_dir=None, data_root=tmp_path, cache=node)

    assert load().digest == plain.digest
    monkeypatch.setattr(idx, "read_idx", lambda *_, **__: pytest.fail("read again"))
    assert load().digest == plain.digest
    (folder / "train-labels-idx1-ubyte").touch()
    with pytest.raises(pytest.fail.Exception, match="read again"):
        load()


def test_a_bucket_gives_the_same_data_as_a_claim(
    folder: Path, tmp_path: Path, bucket: Bucket
) -> None:
    for path in folder.iterdir():
        bucket.put(f"data/mnist/{path.name}", path.read_bytes())
    data = load_dataset(
        Dataset(idx=f"s3://{bucket.name}/data/mnist"),
        seed=0,
        code_dir=None,
        data_root=tmp_path / "claims",
        downloads=tmp_path / "downloads",
    )
    assert data.digest == load_dataset(DATASET, seed=0, code_dir=None, data_root=tmp_path).digest


def test_f61_a_bucket_without_the_data_is_named(bucket: Bucket, tmp_path: Path) -> None:
    uri = f"s3://{bucket.name}/data"
    with pytest.raises(DatasetUnavailableError, match=f"dataset.idx {uri} .* no object"):
        load_dataset(
            Dataset(idx=uri), seed=0, code_dir=None, data_root=tmp_path, downloads=tmp_path
        )
