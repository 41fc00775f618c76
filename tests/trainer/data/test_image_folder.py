"""Folders of images load the same in every process, and bad samples are skipped up to the limit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from canary import Canary
from image_folders import encode_image, make_image, write_classes
from trimtab_api.v1alpha1.model import Dataset, Normalize
from trimtab_trainer.data import image_scan
from trimtab_trainer.data._base import DataBundle
from trimtab_trainer.data.catalog import load_dataset
from trimtab_trainer.data.image_folder import FolderSplit
from trimtab_trainer.data.images import ImageSplit
from trimtab_trainer.data.node_cache import NodeCache
from trimtab_trainer.errors import DatasetInvalidError, DatasetUnavailableError

LOAD = """
import json, sys
from pathlib import Path
from trimtab_api.v1alpha1.model import Dataset
from trimtab_trainer.data.catalog import load_dataset
from trimtab_trainer.data.node_cache import NodeCache
root = Path(sys.argv[1])
dataset = Dataset(imageFolder="pvc://claim/pets", imageSize=8, maxBadSamples=2, cache="Node")
data = load_dataset(
    dataset, seed=4, code_dir=None, data_root=root, cache=NodeCache(root / "cache")
)
rows = [split.rows.tolist() for split in (data.train, data.validation, data.test)]
print(json.dumps([rows, data.digest, list(data.skipped)]))
"""


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return write_classes(tmp_path / "claim" / "pets", {"cat": 10, "dog": 10, "owl": 10})


def load(
    pets: Path, *, seed: int = 0, node: NodeCache | None = None, **fields: object
) -> DataBundle:
    dataset = Dataset.model_validate({"imageFolder": "pvc://claim/pets", "imageSize": 8, **fields})
    return load_dataset(dataset, seed=seed, code_dir=None, data_root=pets.parents[1], cache=node)


def take_all(data: DataBundle) -> tuple[torch.Tensor, torch.Tensor]:
    return data.train.batch(torch.arange(len(data.train)))


def rows_of(data: DataBundle) -> list[list[int]]:
    splits = (data.train, data.validation, data.test)
    return [split.rows.tolist() for split in splits if isinstance(split, FolderSplit | ImageSplit)]


def test_images_come_resized_in_0_to_1_with_their_class(pets: Path) -> None:
    data = load(pets)
    assert data.test is not None
    assert data.num_classes == 3
    assert (len(data.train), len(data.validation), len(data.test)) == (22, 4, 4)
    images, labels = take_all(data)
    assert images.shape == (22, 3, 8, 8)
    assert images.dtype == torch.float32
    assert 0 <= float(images.min()) < float(images.max()) <= 1
    assert torch.equal(images.mean(dim=(2, 3)).argmax(dim=1), labels)  # the colour is the class


def test_normalization_is_that_of_the_training_split(pets: Path) -> None:
    data = load(pets)
    images, _ = take_all(data)
    assert data.image is not None
    assert (data.image.channels, data.image.height, data.image.width) == (3, 8, 8)
    assert data.image.mean == pytest.approx(images.double().mean(dim=(0, 2, 3)).tolist(), rel=1e-6)
    deviation = images.double().transpose(0, 1).flatten(1).std(dim=1, correction=0)
    assert data.image.std == pytest.approx(deviation.tolist(), rel=1e-6)


def test_given_normalization_wins(pets: Path) -> None:
    normalize = Normalize(mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0))
    data = load(pets, normalize=normalize)
    assert data.image is not None
    assert (data.image.mean, data.image.std) == (normalize.mean, normalize.std)


def test_the_size_is_224_where_none_is_given(tmp_path: Path) -> None:
    write_classes(tmp_path / "claim" / "pets", {"cat": 4, "dog": 4})
    data = load(tmp_path / "claim" / "pets", imageSize=None, split={"validation": 0.3})
    assert data.train.batch(torch.tensor([0]))[0].shape == (1, 3, 224, 224)


def test_gray_images_stay_gray_only_where_all_are(pets: Path) -> None:
    for path in pets.rglob("*.png"):
        path.write_bytes(encode_image(Image.open(path).convert("L")))
    gray = load(pets)
    assert gray.image is not None
    assert (gray.image.channels, len(gray.image.mean)) == (1, 1)
    assert take_all(gray)[0].shape[1] == 1
    (pets / "cat" / "00.png").write_bytes(encode_image(make_image()))
    mixed = load(pets)
    assert mixed.image is not None
    images, _ = take_all(mixed)
    assert images.shape[1] == 3
    assert mixed.image.mean == pytest.approx(images.double().mean(dim=(0, 2, 3)).tolist(), rel=1e-6)


def test_splits_of_the_folder_are_kept_whole(tmp_path: Path) -> None:
    root = tmp_path / "claim" / "pets"
    write_classes(root / "train", {"cat": 8, "dog": 8})
    write_classes(root / "val", {"cat": 2, "dog": 3}, first_seed=50)
    write_classes(root / "test", {"cat": 4, "dog": 1}, first_seed=90)
    data = load(root)
    assert data.test is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (16, 5, 5)
    assert data.test.batch(torch.arange(5))[1].tolist() == [0, 0, 0, 0, 1]


def test_a_batch_is_in_the_order_asked_for(pets: Path) -> None:
    data = load(pets)
    images, labels = data.train.batch(torch.tensor([5, 0, 5]))
    again, _ = data.train.batch(torch.tensor([0, 5]))
    assert torch.equal(images, again[[1, 0, 1]])
    assert labels[0] == labels[2]


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_kept_images_are_those_that_would_be_decoded(tmp_path: Path, mode: str) -> None:
    root = write_classes(tmp_path / "claim" / "pets", {"cat": 8, "dog": 8}, mode=mode)
    plain = load(root)
    kept = load(root, node=NodeCache(tmp_path / "cache"), cache="Node")
    assert isinstance(kept.train, ImageSplit)
    for got, expected in zip(take_all(kept), take_all(plain), strict=True):
        assert torch.equal(got, expected)


def test_images_are_decoded_where_the_node_cannot_keep_them(pets: Path) -> None:
    (pets.parent / "file").write_bytes(b"")
    data = load(pets, node=NodeCache(pets.parent / "file" / "cache"), cache="Node")
    assert isinstance(data.train, FolderSplit)
    assert data.digest == load(pets).digest
    assert len(data.warnings) == 1
    assert "cannot be kept for all processes of the node" in data.warnings[0]


def test_the_scan_is_paid_once_per_node(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = NodeCache(pets.parent / "cache")
    first = load(pets, node=node)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(image_scan, "decode_image", refuse)
    again = load(pets, node=node)
    assert (first.digest, rows_of(first)) == (again.digest, rows_of(again))
    os.utime(pets / "cat" / "00.png", ns=(1, 1))
    with pytest.raises(AssertionError, match="decoded again"):
        load(pets, node=node)


def test_f63_skips_and_splits_are_the_same_in_every_process(pets: Path) -> None:
    (pets / "dog" / "03.png").write_bytes(b"")
    (pets / "owl" / "05.png").write_bytes(b"no image")
    node = NodeCache(pets.parents[1] / "cache")
    data = load(pets, seed=4, node=node, maxBadSamples=2, cache="Node")
    command = [sys.executable, "-c", LOAD, str(pets.parents[1])]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert data.skipped == ("dog/03.png", "owl/05.png")
    assert json.loads(answer) == [rows_of(data), data.digest, list(data.skipped)]


def test_the_seed_decides_the_split_and_content_the_digest(pets: Path) -> None:
    first, again, other = load(pets), load(pets), load(pets, seed=1)
    assert (rows_of(first), first.digest) == (rows_of(again), again.digest)
    assert rows_of(first) != rows_of(other)
    (pets / "cat" / "00.png").write_bytes(encode_image(make_image(seed=999)))
    changed = load(pets)
    assert rows_of(changed) == rows_of(first)
    assert len({first.digest, other.digest, changed.digest}) == 3


def test_f63_bad_samples_up_to_the_limit_are_skipped_and_named(pets: Path) -> None:
    whole = (pets / "dog" / "02.png").read_bytes()
    (pets / "cat" / "01.png").write_bytes(b"")
    (pets / "dog" / "02.png").write_bytes(whole[: len(whole) // 2])
    (pets / "owl" / "03.png").unlink()
    (pets / "owl" / "03.png").symlink_to("nowhere.png")
    data = load(pets, maxBadSamples=3)
    assert data.skipped == ("cat/01.png", "dog/02.png", "owl/03.png")
    assert sum(map(len, rows_of(data))) == 27
    expected = (
        "sample owl/03.png must be a readable image but: it is no regular file; 3 of 30 samples"
        " are unreadable and dataset.maxBadSamples is 2"
    )
    with pytest.raises(DatasetInvalidError, match=expected):
        load(pets, maxBadSamples=2)


def test_f63_a_pipe_does_not_hang_the_scan(pets: Path) -> None:
    os.mkfifo(pets / "cat" / "pipe.png")
    with pytest.raises(DatasetInvalidError, match=r"cat/pipe\.png .* it is no regular file"):
        load(pets)


def test_f63_a_name_that_is_no_text_can_be_written_down(pets: Path) -> None:
    bad = os.fsencode(pets / "cat") + b"/\xff.png"
    Path(os.fsdecode(bad)).write_bytes(b"")
    assert load(pets, maxBadSamples=1).skipped == ("cat/\\xff.png",)


def test_f60_a_pickle_under_an_images_name_is_refused_and_runs_no_code(pets: Path) -> None:
    canary = Canary(pets.parent / "canary")
    (pets / "cat" / "cat.jpg").write_bytes(canary.content)
    with pytest.raises(DatasetInvalidError, match=r"cat/cat\.jpg must be a readable image"):
        load(pets)
    assert load(pets, maxBadSamples=1).skipped == ("cat/cat.jpg",)
    canary.check()


def test_f64_a_class_whose_images_are_all_skipped_is_named(pets: Path) -> None:
    for path in (pets / "dog").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DatasetInvalidError, match=r"class dog of split train .* all are skipped"):
        load(pets, maxBadSamples=10)


def test_f64_one_class_only_is_refused(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "claim" / "pets", {"cat": 9})
    with pytest.raises(DatasetInvalidError, match="at least two classes"):
        load(root)


def test_f64_images_of_one_colour_are_refused(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "claim" / "pets", {"cat": 5, "dog": 5})
    for path in root.rglob("*.png"):
        path.write_bytes(encode_image(Image.new("RGB", (9, 9), (9, 9, 9))))
    with pytest.raises(DatasetInvalidError, match="all pixels of channel 0"):
        load(root)


def test_f62_missing_data_and_a_wrong_uri_are_unavailable(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnavailableError, match=r"dataset.imageFolder: .*pets cannot be"):
        load(tmp_path / "claim" / "pets")
    dataset = Dataset.model_validate({"imageFolder": "pvc://claim/../pets"})
    with pytest.raises(DatasetUnavailableError, match=r"dataset.imageFolder: URI must stay"):
        load_dataset(dataset, seed=0, code_dir=None, data_root=tmp_path)


def test_an_image_that_changes_after_the_scan_is_named(pets: Path) -> None:
    data = load(pets)
    for path in pets.rglob("*.png"):
        path.unlink()
    with pytest.raises(DatasetUnavailableError, match=r"\.png could be read before but not now"):
        take_all(data)
