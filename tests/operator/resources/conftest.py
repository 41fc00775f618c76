"""`pytest tests/operator/resources --golden-update` rewrites the golden manifests."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden-update", action="store_true", help="rewrite tests/golden")


@pytest.fixture(scope="session")
def golden_update(request: pytest.FixtureRequest) -> bool:
    """Return whether the golden files are to be written instead of compared."""
    return bool(request.config.getoption("--golden-update", default=False))
