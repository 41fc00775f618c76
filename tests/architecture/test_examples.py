"""Every job that people may copy, from a file or a page, is valid."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from source_tree import ROOT, list_kept_files
from trimtab_api.defaults import count_work, expand_job
from trimtab_api.v1alpha1.goals import Profile
from trimtab_api.v1alpha1.job import KIND
from trimtab_api.validation import parse_job

# Templates of Helm become YAML only when they are rendered.
FILES = ("*.yaml", "*.yml", ":!charts/*/templates/*")
FENCE = re.compile(r"^( *)```ya?ml\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


def iter_jobs() -> Iterator[Any]:
    for path in list_kept_files(*FILES):
        for number, document in enumerate(YAML(typ="safe").load_all(path)):
            yield from keep_job(document, f"{path.relative_to(ROOT)}#{number}")
    for path in list_kept_files("*.md"):
        for match in FENCE.finditer(path.read_text(encoding="utf-8")):
            for document in YAML(typ="safe").load_all(match[2]):
                yield from keep_job(document, f"{path.relative_to(ROOT)}:{match.start()}")


def keep_job(document: Any, name: str) -> Iterator[Any]:
    if isinstance(document, dict) and document.get("kind") == KIND:
        yield pytest.param(document, id=name)


@pytest.mark.parametrize("document", list(iter_jobs()))
def test_a_published_job_is_valid_and_can_be_planned(document: Any) -> None:
    job = expand_job(parse_job(document), cores=2, detected=Profile.CPU_SERVER)
    assert count_work(job.spec).candidates


def test_an_example_is_a_folder_with_a_job() -> None:
    folders = {path for path in (ROOT / "examples").iterdir() if path.is_dir()}
    assert folders == {path.parent for path in (ROOT / "examples").glob("*/job.yaml")} != set()
