"""The command line in this process, and manifests on disk."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from command_line import RunCommand, WriteManifest
from report_builder import make_manifest
from small_api import SmallApi, serve_api
from trimtab_cli.__main__ import app


@pytest.fixture
def trimtab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunCommand:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str | Path) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def write_manifest(tmp_path: Path) -> WriteManifest:
    def write(text: str | None = None, **changes: Any) -> Path:
        path = tmp_path / "job.yaml"
        path.write_text(text if text is not None else json.dumps(make_manifest(**changes)), "utf-8")
        return path

    return write


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallApi]:
    """An API server that the kubeconfig points to."""
    with serve_api(tmp_path) as (server, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        yield server
