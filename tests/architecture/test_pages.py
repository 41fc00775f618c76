"""Pages name files that exist, and tell what to do about each reason of a condition."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from source_tree import ROOT, list_kept_files
from trimtab_api.v1alpha1.conditions import CONDITION_REASONS
from trimtab_codegen.deploy import build_operator_manifests

MEMBERS = {
    "api/": "api/src/trimtab_api/",
    "codegen/": "api/src/trimtab_codegen/",
    "operator/": "operator/src/trimtab_operator/",
    "trainer/": "trainer-image/src/trimtab_trainer/",
    "cli/": "cli/src/trimtab_cli/",
}
FILE = re.compile(r"`([\w*{},./…]*[\w*}]\.(?:py|yaml))`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FUNCTION = re.compile(r"`([\w/…]+/\w+)\.(\w+)`")


def read_architecture() -> str:
    return (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def list_patterns() -> list[str]:
    """Return the files that the page names; one without a folder is beside the one before it."""
    return sorted({part for name in FILE.findall(read_architecture()) for part in unfold(name)})


def unfold(name: str) -> list[str]:
    """Return the names that one with alternatives in braces stands for."""
    choice = re.search(r"\{(.+?)\}", name)
    if choice is None:
        return [name]
    return [name.replace(choice[0], word) for word in choice[1].split(",")]


def find_files(name: str) -> list[Path]:
    name = name.replace("…/", "")
    for member, folder in MEMBERS.items():
        if name.startswith(member):
            return list(ROOT.glob(name.replace(member, folder, 1)))
    if "/" in name and list(ROOT.glob(name)):
        return list(ROOT.glob(name))
    return [path for path in list_kept_files("*.py") if path.match(f"*/{name}")]


@pytest.mark.parametrize("name", list_patterns())
def test_a_file_that_the_architecture_names_exists(name: str) -> None:
    assert find_files(name)


def test_a_function_that_the_architecture_names_exists() -> None:
    named = FUNCTION.findall(read_architecture())
    named = [(folder, name) for folder, name in named if name not in {"py", "yaml", "json", "md"}]
    assert named
    for module, name in named:
        (path,) = find_files(f"{module}.py")
        assert f"def {name}(" in path.read_text(encoding="utf-8")


def test_every_reason_of_a_condition_has_its_advice() -> None:
    page = (ROOT / "docs" / "how-to" / "cluster.md").read_text(encoding="utf-8")
    rows = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 3:
            for reason in re.findall(r"`(\w+)`", cells[1]):
                rows[cells[0].strip("`"), reason] = cells[2]
    expected = {
        (str(kind), str(reason))
        for kind, reasons in CONDITION_REASONS.items()
        for reason in reasons
    }
    assert rows.keys() == expected
    assert all(rows.values())


def read_prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"(?ms)^```.*?^```", "", page.read_text(encoding="utf-8"))


def list_linked(page: Path) -> Iterator[str]:
    """Yield the targets of links and images that are no addresses."""
    for target in LINK.findall(re.sub(r"`[^`\n]*`", "", read_prose(page))):
        if not re.match(r"\w+:", target):
            yield target


def list_headings(page: Path) -> set[str]:
    """Return the anchors of a page, as hosts of Git make them."""
    headings = re.findall(r"^#+ (.+)$", read_prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one).lower().replace(" ", "-") for one in headings}


def find_fault(page: Path, target: str) -> str:
    """Return what is wrong with a link; empty = nothing."""
    path, _, anchor = target.partition("#")
    linked = (page.parent / path).resolve() if path else page
    if not linked.exists():
        return f"{target} does not exist"
    if anchor and anchor not in list_headings(linked):
        return f"{target} is no heading"
    return ""


@pytest.mark.parametrize(
    "page", list_kept_files("*.md"), ids=lambda page: str(page.relative_to(ROOT))
)
def test_what_a_page_links_or_shows_exists(page: Path) -> None:
    faults = [find_fault(page, target) for target in list_linked(page)]
    assert not any(faults), faults


def test_links_and_images_are_found_and_their_faults_told(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    shown = "# Two words\n![it](gone.png) [here](#two-words) [there](#three) [out](https://a.b)\n"
    page.write_text(f"{shown}`[code](code.md)`\n[in two\nlines](gone.md)\n", encoding="utf-8")
    assert [find_fault(page, target) for target in list_linked(page)] == [
        "gone.png does not exist",
        "",
        "#three is no heading",
        "gone.md does not exist",
    ]


def read_security() -> str:
    return (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def test_a_file_that_the_page_about_security_names_exists() -> None:
    named = re.findall(r"`(\w+/[\w./-]+\.(?:py|md|yaml))`", read_security())
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_the_page_about_security_tells_the_rights_of_the_operator_as_they_are() -> None:
    section = read_security().split("### What the operator may do, and why\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([\w/]+)` \| ([a-z, ]+) \| \w", section, re.MULTILINE)
    (role,) = (one for one in build_operator_manifests() if one["kind"] == "ClusterRole")
    assert dict(rows) == {
        resource: ", ".join(rule["verbs"])
        for rule in role["rules"]
        for resource in rule["resources"]
    }
