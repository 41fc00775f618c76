"""User code is imported from the manifest's folder first, and its failures are one line."""

import sys
from pathlib import Path

import pytest
import torch

from trimtab_trainer.data.user_code import blame_user_code, import_entrypoint
from trimtab_trainer.errors import DivergedError, UserError
from user_modules import write_module


def test_an_attribute_is_imported_from_the_folder(tmp_path: Path) -> None:
    name = write_module(tmp_path, "class Nets:\n    size = 3\n")
    assert import_entrypoint(f"{name}:Nets.size", tmp_path) == 3
    assert sys.path[0] == str(tmp_path.resolve())


def test_user_code_may_import_its_neighbours_later(tmp_path: Path) -> None:
    neighbour = write_module(tmp_path, "value = 7\n")
    name = write_module(
        tmp_path, f"def late():\n    import {neighbour}\n    return {neighbour}.value"
    )
    late = import_entrypoint(f"{name}:late", tmp_path)
    assert callable(late)
    assert late() == 7


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "1 / 0\n",
            r"raised ZeroDivisionError: division by zero \(user_module_\d+\.py:1 <module>\)",
        ),
        ("import sys; sys.exit('bye')\n", r"raised SystemExit: bye"),
        ("def broken(:\n", r"raised SyntaxError: .*line 1"),
        ("import missing_library\n", "ModuleNotFoundError: No module named 'missing_library'"),
    ],
    ids=["raises", "exits", "syntax", "missing library"],
)
def test_f65_a_module_that_fails_is_named_with_type_and_last_frame(
    tmp_path: Path, source: str, message: str
) -> None:
    name = write_module(tmp_path, source)
    with pytest.raises(UserError, match=message):
        import_entrypoint(f"{name}:build", tmp_path)


def test_f65_a_missing_module_or_attribute_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No module named 'no_such_module_here'"):
        import_entrypoint("no_such_module_here:build", tmp_path)
    name = write_module(tmp_path, "def make(): ...\n")
    with pytest.raises(UserError, match=f"module '{name}' has no attribute 'build'"):
        import_entrypoint(f"{name}:build", tmp_path)


@pytest.mark.parametrize("reference", ["module", ":build", "module:"])
def test_a_reference_without_module_or_attribute_is_refused(reference: str) -> None:
    with pytest.raises(UserError, match=f"must be module:attr but got '{reference}'"):
        import_entrypoint(reference, None)


def test_a_module_hidden_by_a_loaded_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "queue.py").write_text("def build(): ...\n", encoding="utf-8")
    with pytest.raises(UserError, match="module queue beside the manifest must have another name"):
        import_entrypoint("queue:build", tmp_path)


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("statistics", "it hides the standard library's"),
        ("yaml", "it hides .*yaml.__init__.py"),
        ("zipapp", "it hides the standard library's"),
    ],
)
@pytest.mark.parametrize("package", [False, True])
def test_a_module_that_would_hide_an_installed_one_is_refused(
    tmp_path: Path, name: str, hidden: str, package: bool
) -> None:
    own = write_module(tmp_path, "value = 1\n")
    path = tmp_path / name / "__init__.py" if package else tmp_path / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=f"module {name} beside the manifest .*: {hidden}"):
        import_entrypoint(f"{own}:value", tmp_path)
    assert str(tmp_path) not in sys.path  # nothing got to see it


def test_plain_folders_and_folders_of_a_project_are_no_trouble(tmp_path: Path) -> None:
    own = write_module(tmp_path, "import json\nvalue = json.dumps(1)\n")
    (tmp_path / "json").mkdir()
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "__init__.py").write_text("", encoding="utf-8")
    assert import_entrypoint(f"{own}:value", tmp_path) == "1"


def test_packages_beside_the_manifest_import_each_other(tmp_path: Path) -> None:
    files = {
        "fleet/__init__.py": "",
        "fleet/hulls/__init__.py": "from .wood import Oak",
        "fleet/hulls/wood.py": "from ..sails import area\nclass Oak:\n    area = area",
        "fleet/sails.py": "import harbour\narea = harbour.area",
        "harbour.py": "area = 12",
        "plain/parts.py": "from . import sizes\narea = sizes.area",
        "plain/sizes.py": "area = 13",
    }
    for name, source in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    assert import_entrypoint("fleet.hulls:Oak.area", tmp_path) == 12
    assert import_entrypoint("plain.parts:area", tmp_path) == 13


def test_f65_the_text_is_short_and_keeps_the_frame(tmp_path: Path) -> None:
    name = write_module(tmp_path, "def build():\n    raise ValueError('x' * 1000)\n")
    build = import_entrypoint(f"{name}:build", tmp_path)
    assert callable(build)
    with pytest.raises(UserError) as caught, blame_user_code("model.entrypoint", tmp_path):
        build()
    assert len(str(caught.value)) == 256
    assert str(caught.value).endswith(f"… ({name}.py:2 build)")
    assert isinstance(caught.value.__cause__, ValueError)


def test_the_users_own_frame_is_named_rather_than_a_librarys(tmp_path: Path) -> None:
    name = write_module(
        tmp_path, "import torch\ndef build():\n    torch.nn.Linear(2, 2)(torch.ones(3))"
    )
    build = import_entrypoint(f"{name}:build", tmp_path)
    assert callable(build)
    with pytest.raises(UserError, match=rf"\({name}.py:3 build\)"), blame_user_code("it", tmp_path):
        build()


@pytest.mark.parametrize(
    "error", [DivergedError("nan"), MemoryError(), torch.OutOfMemoryError(), KeyboardInterrupt()]
)
def test_errors_with_a_class_of_their_own_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, blame_user_code("it", None):
        raise error
    assert caught.value is error
