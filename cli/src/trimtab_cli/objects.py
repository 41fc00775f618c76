"""SEAM to botocore: lists and copies what lies below a prefix of a bucket.

Imported when results lie in a bucket, and only then. Credentials, region and endpoint are the
user's own, from where every S3 program takes them: AWS_* variables or ~/.aws.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from trimtab_cli.exit_codes import ExitCode
from trimtab_cli.results import ResultPlace, ResultsError

__all__ = ["BucketFolder"]

_CHUNK = 1024**2
_SETTINGS = Config(
    connect_timeout=10,
    read_timeout=60,
    retries={"total_max_attempts": 4, "mode": "standard"},
    # Older servers know no checksums but those of the content.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)
_DEFAULT_REGION = "us-east-1"
_HINT = "credentials are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws"


class BucketFolder:
    """The files below a prefix."""

    def __init__(self, place: ResultPlace) -> None:
        self._place = place
        self._prefix = f"{place.path}/" if place.path else ""
        session = get_session()
        region = session.get_config_variable("region") or _DEFAULT_REGION
        with self._translate(f"reach {place.uri()}"):
            self._client = session.create_client("s3", region_name=region, config=_SETTINGS)

    def list_files(self) -> Mapping[str, int]:
        """Return the files by their paths relative to the prefix, with their sizes in bytes.

        Raises:
            ResultsError: The bucket is absent, closed to the user or out of reach.
        """
        pages = self._client.get_paginator("list_objects_v2")
        with self._translate(f"list {self._place.uri()}"):
            return {
                entry["Key"].removeprefix(self._prefix): int(entry["Size"])
                for page in pages.paginate(Bucket=self._place.container, Prefix=self._prefix)
                for entry in page.get("Contents", ())
            }

    def copy_file(self, name: str, path: Path) -> None:
        """Copy a file to a path.

        Raises:
            ResultsError: It is absent, closed to the user or out of reach.
            OSError: The path cannot be written.
        """
        with self._translate(f"read {self._place.uri()}/{name}"), path.open("wb") as file:
            answer = self._client.get_object(
                Bucket=self._place.container, Key=f"{self._prefix}{name}"
            )
            for chunk in answer["Body"].iter_chunks(_CHUNK):
                file.write(chunk)

    @contextmanager
    def _translate(self, what: str) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError, ValueError) as error:
            # ValueError: the endpoint is no address.
            cause = " ".join(str(error).split())
            raise ResultsError(
                f"cannot {what}: {cause} ({_HINT})", ExitCode.ENVIRONMENT_MISSING
            ) from error
