"""The tests of storage share a real S3 server."""

from s3_server import bucket, s3_server

__all__ = ["bucket", "s3_server"]
