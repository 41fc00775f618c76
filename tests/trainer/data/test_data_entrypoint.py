"""A user's data set is taken as it is; what is wrong with it is said in one line."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from trimtab_api.v1alpha1.model import Dataset
from trimtab_trainer.data._base import DataBundle
from trimtab_trainer.data.catalog import load_dataset
from trimtab_trainer.data.node_cache import NodeCache
from trimtab_trainer.errors import DatasetInvalidError, UserError
from trimtab_trainer.training.seeding import seed_everything
from user_modules import write_module

PRELUDE = """
import torch
from torch.utils.data import Dataset, TensorDataset

class Rows(Dataset):
    def __init__(self, labels):
        self.labels = labels
    def __len__(self):
        return len(self.labels)
    def __getitem__(self, index):
        return torch.full((3,), float(index)), self.labels[index]
"""

TORN = """
class Torn(Rows):
    def __getitem__(self, index):
        if index == 7: raise ValueError('torn')
        return super().__getitem__(index)
"""


def load(folder: Path, body: str, **fields: object) -> DataBundle:
    name = write_module(folder, PRELUDE + "\n" + body)
    dataset = Dataset.model_validate({"entrypoint": f"{name}:build", **fields})
    return load_dataset(dataset, seed=0, code_dir=folder, data_root=folder)


def test_splits_that_are_missing_are_drawn_from_train(tmp_path: Path) -> None:
    data = load(tmp_path, "def build(): return {'train': Rows([0, 1] * 20)}")
    assert data.test is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (28, 6, 6)
    assert (data.num_classes, data.image) == (2, None)
    inputs, targets = data.validation.batch(torch.arange(6))
    assert inputs.shape == (6, 3)
    assert torch.equal(inputs[:, 0].long() % 2, targets)


def test_splits_that_are_given_are_used(tmp_path: Path) -> None:
    data = load(
        tmp_path,
        "def build(): return {'train': Rows([0, 1] * 5), 'validation': Rows([1, 0, 1]),"
        " 'test': Rows([0, 0])}",
    )
    assert data.test is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (10, 3, 2)


def test_arguments_reach_the_entry_point(tmp_path: Path) -> None:
    body = "def build(classes): return {'train': Rows(list(range(classes)) * 10)}"
    assert load(tmp_path, body, args={"classes": 5}).num_classes == 5


def test_a_class_that_training_lacks_is_fine_where_the_network_has_it(tmp_path: Path) -> None:
    name = write_module(
        tmp_path,
        PRELUDE + "def build(): return {'train': Rows([0, 1, 3] * 9), 'test': Rows([2, 4])}",
    )
    dataset = Dataset(entrypoint=f"{name}:build")
    data = load_dataset(dataset, seed=0, code_dir=tmp_path, data_root=tmp_path, num_classes=5)
    assert data.num_classes == 5
    with pytest.raises(DatasetInvalidError, match=r"sample 2 of split train .* but has 3"):
        load_dataset(dataset, seed=0, code_dir=tmp_path, data_root=tmp_path)


def test_a_tensor_data_set_gives_the_same_batches(tmp_path: Path) -> None:
    body = """
def build():
    rows = Rows([0, 1, 2] * 10)
    inputs = torch.stack([rows[i][0] for i in range(30)])
    return {'train': TensorDataset(inputs, torch.tensor(rows.labels, dtype=torch.uint8))}
"""
    data = load(tmp_path, body)
    plain = load(tmp_path, "def build(): return {'train': Rows([0, 1, 2] * 10)}")
    indices = torch.tensor([4, 1, 7])
    for got, expected in zip(data.train.batch(indices), plain.train.batch(indices), strict=True):
        assert torch.equal(got, expected)
        assert got.dtype == expected.dtype


def test_targets_that_are_no_labels_are_left_alone(tmp_path: Path) -> None:
    data = load(tmp_path, "def build(): return {'train': Rows([0.5, 1.5] * 20)}")
    _, targets = data.train.batch(torch.arange(3))
    assert data.num_classes is None
    assert targets.is_floating_point()


def test_the_digest_depends_on_labels_and_not_on_random_inputs(tmp_path: Path) -> None:
    body = """
class Augmented(Rows):
    def __getitem__(self, index):
        return torch.rand(3), self.labels[index]
def build(labels): return {'train': Augmented([int(c) for c in labels] * 20)}
"""
    name = write_module(tmp_path, PRELUDE + body)
    first, again, other = (
        load_dataset(
            Dataset(entrypoint=f"{name}:build", args={"labels": labels}),
            seed=0,
            code_dir=tmp_path,
            data_root=tmp_path,
        ).digest
        for labels in ("01", "01", "10")
    )
    assert first == again != other


DRAWN = """
class Drawn(Rows):
    def __init__(self, labels, inputs):
        super().__init__(labels)
        self.inputs = inputs
    def __getitem__(self, index):
        return self.inputs[index], self.labels[index]
"""


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_inputs_drawn_without_a_seed_change_the_digest(tmp_path: Path, split: str) -> None:
    body = f"""{DRAWN}
def build():
    splits = {{name: Rows([0, 1] * 20) for name in ('train', 'validation', 'test')}}
    return {{**splits, {split!r}: Drawn([0, 1] * 20, torch.rand(40, 3))}}
"""
    assert load(tmp_path, body).digest != load(tmp_path, body).digest


def make_drawn(tmp_path: Path, build: str) -> tuple[str, str]:
    """Return the digests of two loads of one module."""
    name = write_module(tmp_path, PRELUDE + DRAWN + build)
    dataset = Dataset(entrypoint=f"{name}:build")
    first, second = (
        load_dataset(dataset, seed=0, code_dir=tmp_path, data_root=tmp_path).digest
        for _ in range(2)
    )
    return first, second


def test_inputs_drawn_with_a_seed_keep_the_digest(tmp_path: Path) -> None:
    first, second = make_drawn(
        tmp_path,
        "def build():\n"
        "    inputs = torch.rand(40, 3, generator=torch.Generator().manual_seed(3))\n"
        "    return {'train': Drawn([0, 1] * 20, inputs)}\n",
    )
    assert first == second


def test_an_order_drawn_without_a_seed_changes_the_digest(tmp_path: Path) -> None:
    """Permuted pixels have the same mean and deviation."""
    first, second = make_drawn(
        tmp_path,
        "def build():\n"
        "    inputs = torch.linspace(0, 1, 64)[torch.randperm(64)].expand(40, 64)\n"
        "    return {'train': Drawn([0, 1] * 20, inputs)}\n",
    )
    assert first != second


def test_the_last_bits_of_a_sum_leave_the_digest_alone(tmp_path: Path) -> None:
    """Sums over many numbers depend on the number of threads."""
    first, second = make_drawn(
        tmp_path,
        "calls = []\n"
        "def build():\n"
        "    calls.append(0)\n"
        "    inputs = torch.rand(40, 64, generator=torch.Generator().manual_seed(3))\n"
        "    return {'train': Drawn([0, 1] * 20, inputs * (1 + 1e-7 * len(calls)))}\n",
    )
    assert first == second


def test_rare_augmentation_leaves_digest_and_chance_alone(tmp_path: Path) -> None:
    body = """
import random
import numpy as np
class Noisy(Rows):
    def __getitem__(self, index):
        noise = torch.rand(1) + random.random() + np.random.random()
        return torch.full((3,), float(index)) + noise * (noise > 2.5), self.labels[index]
def build(): return {'train': Noisy([0.5, 1.5] * 20)}
"""
    name = write_module(tmp_path, PRELUDE + body)
    dataset = Dataset(entrypoint=f"{name}:build")
    digests, chance = set(), set()
    for seed in range(4):
        seed_everything(seed)
        digests.add(load_dataset(dataset, seed=0, code_dir=tmp_path, data_root=tmp_path).digest)
        chance.add((random.random(), np.random.mtrand.random(), float(torch.rand(1))))
    assert (len(digests), len(chance)) == (1, 4)


def test_processes_that_get_different_data_are_told_of_the_seed(tmp_path: Path) -> None:
    name = write_module(
        tmp_path,
        f"{PRELUDE}{DRAWN}\ndef build(): return {{'train': Drawn([0, 1] * 20, torch.rand(40, 3))}}",
    )
    dataset = Dataset(entrypoint=f"{name}:build")

    def load_in_process() -> DataBundle:
        cache = NodeCache(tmp_path / "cache")
        return load_dataset(dataset, seed=0, code_dir=tmp_path, data_root=tmp_path, cache=cache)

    load_in_process()
    with pytest.raises(UserError, match=rf"dataset\.entrypoint {name}:build .* fixed seed"):
        load_in_process()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def build(): return {'train': Rows([])}", "split train must have samples but is empty"),
        (
            "def build(): return {'train': Rows([0, 1] * 9), 'validation': Rows([])}",
            "split validation must have samples but is empty",
        ),
        ("def build(): return {'train': Rows([3] * 9)}", "two classes but all 9 have label 3"),
        (
            "def build(): return {'train': Rows([0, 1] * 9), 'test': Rows([0, 1, 2])}",
            r"sample 2 of split test must have a label in 0…1 but has 2",
        ),
        (
            "def build(): return {'train': Rows([0, 1] * 9), 'test': Rows([0.5])}",
            "split test must have class labels like train",
        ),
        ("def build(): return {'train': [1, 2]}", r"sample 0 of split train must be a pair"),
        (
            "def build(): return {'train': [({'a': 1}, 0)] * 9}",
            "pairs of tensors or numbers but are pairs of dict and Tensor",
        ),
    ],
    ids=["empty", "empty split", "one class", "out of range", "mixed", "no pair", "no tensor"],
)
def test_f64_unusable_data_name_sample_or_split(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(DatasetInvalidError, match=message):
        load(tmp_path, body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("build = 3", "must be callable but is int"),
        ("def build(): return [1]", "must return a mapping with train .* returned list"),
        ("def build(): return {'train': Rows([0, 1]), 'val': 1}", r"returned \['train', 'val'\]"),
        ("def build(): return {'train': iter([])}", "len of split train raised TypeError"),
        (
            "def build(): raise OSError('no share')",
            r"raised OSError: no share \(user_module_\d+.py",
        ),
        (
            TORN + "def build(): return {'train': Torn([0, 1] * 9)}",
            "sample 7 of split train raised ValueError: torn .*__getitem__",
        ),
    ],
    ids=["no callable", "no mapping", "unknown split", "no length", "raises", "sample raises"],
)
def test_wrong_user_code_is_a_user_error(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(tmp_path, body)
