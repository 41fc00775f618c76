"""Hashes tell contents apart and do not depend on the order of keys."""

import hashlib
from pathlib import Path

import pytest

from trimtab_trainer.storage.hashes import fingerprint, sha256_file


def test_a_files_hash_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    assert sha256_file(path) == hashlib.sha256(b"abc").hexdigest()


def test_a_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"seed": 1, "epochs": 2}) == fingerprint({"epochs": 2, "seed": 1})


@pytest.mark.parametrize("other", [{"seed": 2}, {"seed": 1.5}, {"seed": "1"}, {"Seed": 1}, {}])
def test_a_fingerprint_changes_with_the_content(other: dict[str, object]) -> None:
    assert fingerprint(other) != fingerprint({"seed": 1})


def test_a_number_that_json_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        fingerprint({"loss": float("nan")})
