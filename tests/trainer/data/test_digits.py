"""The built-in digits come whole, scaled to 0…1 and split by seed."""

from pathlib import Path

import torch

from trimtab_api.v1alpha1.model import Cache, Dataset
from trimtab_trainer.data.catalog import load_dataset
from trimtab_trainer.data.node_cache import NodeCache


def test_digits_are_1797_images_in_ten_classes() -> None:
    data = load_dataset(Dataset(builtin="digits"), seed=3, code_dir=None, data_root=Path("unused"))
    assert data.test is not None
    splits = (data.train, data.validation, data.test)
    assert [len(split) for split in splits] == [1257, 270, 270]
    assert data.num_classes == 10
    images, _ = data.train.batch(torch.arange(len(data.train)))
    assert images.shape[1:] == (1, 8, 8)
    assert (float(images.min()), float(images.max())) == (0.0, 1.0)


def test_digits_that_a_node_keeps_are_the_same(tmp_path: Path) -> None:
    plain, first, again = (
        load_dataset(
            Dataset(builtin="digits", cache=cache),
            seed=3,
            code_dir=None,
            data_root=tmp_path,
            cache=NodeCache(tmp_path),
        )
        for cache in (Cache.NONE, Cache.NODE, Cache.NODE)
    )
    assert plain.digest == first.digest == again.digest
    assert (tmp_path / "digits.tensors").is_file()
