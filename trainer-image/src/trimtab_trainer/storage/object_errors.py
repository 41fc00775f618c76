"""What an object store's refusals mean, as the errors of a file system.

Called by `objects` with the status and the code of an answer. Whoever writes files then reacts to
a bucket as to a disk: what passes by itself is waited for, a wrong key is not.
"""

import errno

__all__ = ["translate_answer"]

_FULL_CODES = frozenset(
    {
        "InsufficientStorage",
        "QuotaExceeded",
        "StorageFull",
        "XMinioAdminBucketQuotaExceeded",
        "XMinioStorageFull",
    }
)
"""Some come with a status that otherwise stands for a wrong key, 403, or a wrong request, 400."""
_REFUSED = frozenset({401, 403})
_TIRED = frozenset({408, 429})
_REFUSED_CODES = frozenset(
    {"AuthorizationHeaderMalformed", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"}
)
"""Come with status 400."""
_TIRED_CODES = frozenset({"RequestTimeout", "SlowDown"})
_TAKEN = frozenset({409, 412})
_MISSING_CODES = frozenset({"404", "NoSuchBucket", "NoSuchKey", "NotFound"})
"""Not the status 404 alone: some stores answer so about unknown keys of access."""
_INSUFFICIENT_STORAGE = 507
_SERVER_ERRORS = 500


def translate_answer(status: int, code: str, message: str, *, place: str) -> OSError:
    """Return the error that an answer stands for.

    Args:
        status: Of HTTP.
        code: The store's word for it, such as `AccessDenied`.
        message: The store's sentence.
        place: Bucket and key.

    Returns:
        PermissionError, FileNotFoundError or FileExistsError (a condition of the write did not
        hold) where it is one of these; else an OSError whose number tells whether it passes.
    """
    text = f"the object store answers {status} {code}: {message}".rstrip(": ")
    if status == _INSUFFICIENT_STORAGE or code in _FULL_CODES:
        number = errno.EDQUOT
    elif status in _REFUSED or code in _REFUSED_CODES:
        number = errno.EACCES
    elif code in _MISSING_CODES:
        number = errno.ENOENT
    elif status in _TAKEN:
        number = errno.EEXIST
    elif status >= _SERVER_ERRORS or status in _TIRED or code in _TIRED_CODES:
        number = errno.EREMOTEIO
    else:
        number = errno.EINVAL
    # OSError itself chooses the subclass of its number.
    return OSError(number, text, place)
