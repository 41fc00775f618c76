"""What the images hold is what the lock names, under licences that are allowed, and is listed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from locked_packages import read_lock
from source_tree import ROOT
from tools.image_packages import IMAGES, list_packages

PROGRAMS = Path(sys.executable).parent
OWN = {"trimtab-api", "trimtab-operator", "trimtab-trainer"}


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [PROGRAMS / program, *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)


def find_packages(image: str) -> dict[str, str]:
    """Return what an image holds of others."""
    packages = list_packages(IMAGES[image])
    return {name: version for name, version in packages.items() if name not in OWN}


@pytest.mark.parametrize("image", IMAGES)
def test_what_an_image_needs_is_installed_here_as_locked(image: str) -> None:
    locked = read_lock()
    packages = find_packages(image)
    assert {"operator": "kopf", "trainer": "torch"}[image] in packages
    assert [name for name in packages if packages[name] not in locked.get(name, set())] == []


@pytest.mark.parametrize("folder", ["operator", "trainer-image"])
def test_an_image_is_built_by_the_lock(folder: str) -> None:
    text = (ROOT / folder / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    installs = [line for line in text.splitlines() if "uv pip install" in line and "./api" in line]
    assert installs
    for option in ("--constraint requirements.lock", "--build-constraint requirements.lock"):
        assert [line for line in installs if option not in line] == []


def test_every_package_of_the_lock_has_a_hash_and_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text("utf-8")
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) > 100
    assert [entry.split("\n")[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert re.findall(r"https?://|--index-url|--find-links", text) == []


def test_the_bill_of_materials_lists_what_the_operator_needs_as_locked(tmp_path: Path) -> None:
    path = tmp_path / "sbom.json"
    made = run(
        "cyclonedx-py", "environment", "--no-validate", "--output-file", str(path), sys.prefix
    )
    assert made.returncode == 0, made.stderr
    listed = {
        (canonicalize_name(component["name"]), component["version"])
        for component in json.loads(path.read_text("utf-8"))["components"]
    }
    assert set(find_packages("operator").items()) <= listed


def test_the_licences_of_the_images_are_allowed_and_others_are_not() -> None:
    names = [name for image in IMAGES for name in list_packages(IMAGES[image])]
    found = run("pip-licenses", "--packages", *names)
    assert found.returncode == 0, found.stderr
    other = run("pip-licenses", "--packages", "codespell")
    assert other.returncode == 1
    assert "GPL-2.0-only not in allow-only" in other.stderr


@pytest.mark.parametrize(
    "line",
    [
        "import pickle\npickle.loads(b'')",
        "import subprocess\nsubprocess.run('x', shell=True)",
        "import yaml\nyaml.load('x')",
        "import torch\ntorch.load('x')",
        "eval(input())",
    ],
    ids=["pickle", "shell", "yaml", "torch", "eval"],
)
def test_bandit_finds_what_opens_a_door(tmp_path: Path, line: str) -> None:
    path = tmp_path / "door.py"
    path.write_text(line)
    assert run("bandit", "--quiet", "--configfile", "pyproject.toml", str(path)).returncode == 1
