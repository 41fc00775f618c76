"""URIs of a manifest become local paths, or errors that name the expected form."""

from pathlib import Path

import pytest

from trimtab_trainer.errors import UserError
from trimtab_trainer.storage.uris import resolve_uri

ROOT = Path("/data")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("pvc://datasets/fashion-mnist", "/data/datasets/fashion-mnist"),
        ("pvc://datasets", "/data/datasets"),
        ("file:///home/me/my%20images", "/home/me/my images"),
    ],
)
def test_a_uri_is_a_path(uri: str, expected: str) -> None:
    assert resolve_uri(uri, data_root=ROOT) == Path(expected)


@pytest.mark.parametrize("uri", ["", "/just/a/path", "pvc://", "file://host/path", "s3://b/key"])
def test_another_form_is_refused(uri: str) -> None:
    with pytest.raises(UserError, match=r"pvc://claim/path, s3://bucket/prefix or file:///path"):
        resolve_uri(uri, data_root=ROOT)


def test_a_claim_cannot_be_left() -> None:
    with pytest.raises(UserError, match="inside its claim"):
        resolve_uri("pvc://datasets/../../etc", data_root=ROOT)


def test_a_refusal_does_not_repeat_credentials() -> None:
    with pytest.raises(UserError) as caught:
        resolve_uri("s3://user:secret@bucket/key", data_root=ROOT)
    assert "secret" not in str(caught.value)
