"""What holds for all tests: those that use the S3 server carry its marker."""

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test by the server that it needs, so that a run can leave out what must be built."""
    if "s3_server" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.s3)
