"""Sources keep the house rules that no linter knows: sizes, docstrings, exports, no assert."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from source_tree import ROOT, list_kept_files, list_modules

LONGEST_FILE = 600
LONGEST_FUNCTION = 60
MOST_PARAMETERS = 6

MODULES = [pytest.param(path, id=str(path.relative_to(ROOT))) for path in list_modules()]


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def list_functions(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def is_plumbing(path: Path) -> bool:
    return path.name in {"__init__.py", "__main__.py"}


@pytest.mark.parametrize("path", MODULES)
def test_a_module_stays_inside_its_size_budget(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    functions = list_functions(parse(path))
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert {name: size for name, size in lengths.items() if size > LONGEST_FUNCTION} == {}
    counts = {node.name: len(node.args.posonlyargs + node.args.args) for node in functions}
    assert {name: count for name, count in counts.items() if count > MOST_PARAMETERS} == {}


@pytest.mark.parametrize("path", MODULES)
def test_a_source_has_no_assert(path: Path) -> None:
    asserts = [node.lineno for node in ast.walk(parse(path)) if isinstance(node, ast.Assert)]
    assert asserts == []


@pytest.mark.parametrize("path", MODULES)
def test_a_module_says_what_it_is_and_what_it_exports(path: Path) -> None:
    tree = parse(path)
    assert ast.get_docstring(tree)
    if not is_plumbing(path):
        exported = [
            node
            for node in tree.body
            if isinstance(node, ast.Assign)
            and any(isinstance(name, ast.Name) and name.id == "__all__" for name in node.targets)
        ]
        assert len(exported) == 1
        names = ast.literal_eval(exported[0].value)
        assert len(names) == len(set(names))


def test_there_are_modules_to_look_at() -> None:
    assert len(MODULES) > 50


def test_no_folder_of_the_tests_is_a_package() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_no_file_is_named_after_a_kind_of_code() -> None:
    vague = {"utils", "util", "common", "misc", "helpers", "manager"}
    names = {path.stem for path in list_kept_files("*.py")}
    assert names & vague == set()


def test_imports_point_the_way_that_the_contracts_say() -> None:
    ended = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
