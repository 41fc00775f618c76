"""SEAM of botocore: objects of S3 buckets, read and written whole.

Called by the mirror, by the storage of a run and by downloads of data and weights. Passing
troubles are tried again a few times here; what is left comes as OSError, as `object_errors` says,
so that `patience` knows what to wait for.
"""

import errno
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, final

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.session import get_session

from trimtab_api.labels import ENV_PREFIX_STORAGE
from trimtab_trainer.storage.object_errors import translate_answer

__all__ = ["ABSENT", "ObjectAccess", "ObjectStore", "StoredObject", "read_access"]

ABSENT = "*"
"""Stands for the etag of an object that must not be there yet."""

_TRIES = 4
_CONNECT_SECONDS = 5
_READ_SECONDS = 60
_CHUNK = 2**20
_KEYS_PER_REQUEST = 1000
_DEFAULT_REGION = "us-east-1"
_NO_KEYS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)
_NO_ANSWER = (NoConnectionError, HTTPClientError, IncompleteReadError)


@dataclass(frozen=True, slots=True)
class ObjectAccess:
    """Where the object store answers and who asks; None = as botocore finds it by itself."""

    access_key: str | None = None
    secret_key: str | None = None
    token: str | None = None
    endpoint: str | None = None
    region: str = _DEFAULT_REGION


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as a listing shows it."""

    key: str
    etag: str
    """Changes with the content."""
    size: int
    changed: datetime


def read_access(
    prefix: str = ENV_PREFIX_STORAGE, environment: Mapping[str, str] = os.environ
) -> ObjectAccess:
    """Return the access that the environment gives.

    Where a Secret was mounted under the prefix, it counts alone; else the plain `AWS_*` names do.

    Args:
        prefix: Of the variables that a Secret became.
        environment: Name → value.
    """
    own = prefix if f"{prefix}AWS_ACCESS_KEY_ID" in environment else ""

    def find(name: str) -> str | None:
        return environment.get(own + name) or None

    return ObjectAccess(
        access_key=find("AWS_ACCESS_KEY_ID"),
        secret_key=find("AWS_SECRET_ACCESS_KEY"),
        token=find("AWS_SESSION_TOKEN"),
        endpoint=find("AWS_ENDPOINT_URL"),
        region=find("AWS_REGION") or find("AWS_DEFAULT_REGION") or _DEFAULT_REGION,
    )


@final
class ObjectStore:
    """One bucket. Its methods may be called from several threads.

    Every method raises OSError where the store does not do what it is asked: PermissionError for
    missing or wrong keys, FileNotFoundError for a bucket or an object that is not there.
    """

    def __init__(self, bucket: str, access: ObjectAccess) -> None:
        """Name a bucket; nothing is asked yet."""
        self._bucket = bucket
        self._access = access
        self._lock = threading.Lock()
        self._made: Any = None

    def list_objects(self, prefix: str) -> Iterator[StoredObject]:
        """Yield the objects whose keys begin with a prefix, by key."""
        with self._translated(prefix):
            pages = self._client().get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    yield StoredObject(
                        entry["Key"], entry["ETag"], entry["Size"], entry["LastModified"]
                    )

    def list_folders(self, prefix: str) -> list[str]:
        """Return the next parts of the keys below a prefix, which ends in a slash, if not empty."""
        with self._translated(prefix):
            pages = self._client().get_paginator("list_objects_v2")
            return [
                entry["Prefix"].removeprefix(prefix).rstrip("/")
                for page in pages.paginate(Bucket=self._bucket, Prefix=prefix, Delimiter="/")
                for entry in page.get("CommonPrefixes", ())
            ]

    def read(self, key: str) -> tuple[bytes, str]:
        """Return the content of an object and its etag."""
        with self._translated(key):
            answer = self._client().get_object(Bucket=self._bucket, Key=key)
            return answer["Body"].read(), answer["ETag"]

    def download(self, key: str, path: Path) -> str:
        """Write the content of an object into a file; return its etag."""
        with self._translated(key):
            answer = self._client().get_object(Bucket=self._bucket, Key=key)
            with path.open("wb") as file:
                for chunk in answer["Body"].iter_chunks(_CHUNK):
                    file.write(chunk)
            etag: str = answer["ETag"]
            return etag

    def write(self, key: str, content: bytes, *, if_tag: str | None = None) -> str:
        """Store an object and return its etag.

        Args:
            key: Its key.
            content: All of it.
            if_tag: The etag that it must have now, or ABSENT; None = whatever is there.

        Raises:
            FileExistsError: The condition does not hold.
        """
        condition = {"IfNoneMatch" if if_tag == ABSENT else "IfMatch": if_tag} if if_tag else {}
        with self._translated(key):
            answer = self._client().put_object(
                Bucket=self._bucket, Key=key, Body=content, **condition
            )
            etag: str = answer["ETag"]
            return etag

    def upload(self, path: Path, key: str) -> str:
        """Store the content of a file; return the object's etag."""
        with self._translated(key), path.open("rb") as file:
            answer = self._client().put_object(Bucket=self._bucket, Key=key, Body=file)
            etag: str = answer["ETag"]
            return etag

    def copy(self, key: str, target: str) -> None:
        """Copy an object inside the store; nothing travels through this machine."""
        with self._translated(key):
            source = {"Bucket": self._bucket, "Key": key}
            self._client().copy_object(Bucket=self._bucket, Key=target, CopySource=source)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; one that is not there is no error."""
        named = [{"Key": key} for key in keys]
        for start in range(0, len(named), _KEYS_PER_REQUEST):
            part = named[start : start + _KEYS_PER_REQUEST]
            with self._translated(part[0]["Key"]):
                answer = self._client().delete_objects(
                    Bucket=self._bucket, Delete={"Objects": part, "Quiet": True}
                )
            self._refuse_errors(answer.get("Errors", ()))

    def _refuse_errors(self, errors: Sequence[Mapping[str, str]]) -> None:
        """Raise the first of what a request for many objects did not do."""
        for error in errors:
            code = error.get("Code", "")
            status = 403 if code == "AccessDenied" else 500
            place = f"s3://{self._bucket}/{error.get('Key', '')}"
            raise translate_answer(status, code, error.get("Message", ""), place=place)

    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = _make_client(self._access)
            return self._made

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        place = f"s3://{self._bucket}/{key}"
        try:
            yield
        except ClientError as error:
            answer = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
            raise translate_answer(
                status, answer.get("Code", ""), answer.get("Message", ""), place=place
            ) from error
        except _NO_KEYS as error:
            raise PermissionError(
                errno.EACCES, f"the object store needs keys but: {error}", place
            ) from error
        except _NO_ANSWER as error:
            raise OSError(
                errno.EHOSTUNREACH, f"the object store does not answer: {error}", place
            ) from error
        except (BotoCoreError, ValueError) as error:
            raise OSError(errno.EINVAL, f"the request cannot be made: {error}", place) from error


def _make_client(access: ObjectAccess) -> Any:
    # Errors name the endpoint, and end in logs and in the status of a job.
    if "@" in (access.endpoint or ""):
        raise ValueError("its endpoint must hold no user and no password")
    return get_session().create_client(
        "s3",
        region_name=access.region,
        endpoint_url=access.endpoint,
        aws_access_key_id=access.access_key,
        aws_secret_access_key=access.secret_key,
        aws_session_token=access.token,
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": _TRIES},
            # The names of buckets are in no DNS of a store of one's own.
            s3={"addressing_style": "path" if access.endpoint else "auto"},
            # Not every store knows the newer checksums; contents are checked by their hashes.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            # An endpoint of the plain environment is not that of a Secret's keys.
            ignore_configured_endpoint_urls=True,
            max_pool_connections=16,
        ),
    )
