"""Importing user code puts its folder on the path; each test gets the path back as it was."""

import sys

import pytest


@pytest.fixture(autouse=True)
def import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
