"""An answer of an object store is waited for, or fails at once, as it deserves."""

import pytest

from trimtab_trainer.storage.object_errors import translate_answer
from trimtab_trainer.storage.patience import is_passing


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (500, "InternalError"),
        (503, "SlowDown"),
        (429, ""),
        (400, "RequestTimeout"),
        (507, ""),
        (400, "QuotaExceeded"),
        (403, "QuotaExceeded"),
        (400, "XMinioAdminBucketQuotaExceeded"),
    ],
)
def test_f58_f61_what_passes_is_waited_for(status: int, code: str) -> None:
    assert is_passing(translate_answer(status, code, "busy", place="s3://b/k"))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "", PermissionError),
        (403, "AccessDenied", PermissionError),
        (403, "RequestTimeTooSkewed", PermissionError),
        (400, "ExpiredToken", PermissionError),
        (404, "NoSuchKey", FileNotFoundError),
        (412, "PreconditionFailed", FileExistsError),
        (409, "ConditionalRequestConflict", FileExistsError),
        (400, "InvalidArgument", OSError),
        (404, "UserNotFound", OSError),
    ],
)
def test_f61_what_does_not_pass_fails_with_its_cause(
    status: int, code: str, kind: type[OSError]
) -> None:
    error = translate_answer(status, code, "because", place="s3://b/k")
    assert type(error) is kind
    assert not is_passing(error)
    assert str(status) in str(error)
    assert "because" in str(error)
    assert error.filename == "s3://b/k"
