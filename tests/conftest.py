"""What holds for all tests: the S3 marker, and which tests may run at the same time.

`pytest -n 2 --dist loadgroup` runs two groups at once. Tests of a file stay together, since they
share what is costly to make; so do all that start Ray, which two cores carry once, and all of one
tier of clusters, whose servers are started once.
"""

import pytest

_SHARED = ("cluster_a", "cluster_k", "cluster_n", "s3", "ray")


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test by the server that it needs and by the group that it runs in."""
    if "s3_server" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.s3)
    shared = next((name for name in _SHARED if item.get_closest_marker(name)), None)
    item.add_marker(pytest.mark.xdist_group(shared or item.path.name))
