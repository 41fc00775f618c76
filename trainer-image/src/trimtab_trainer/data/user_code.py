"""The user's own code: how it is imported, and how its exceptions become one line for the user.

Called by everything that takes an entry point: data sets and networks, tasks, and the preflight.
It leaves to its callers what the imported object must be and with what it is called.
"""

import importlib
import importlib.machinery
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from trimtab_trainer.errors import TrainerError, UserError
from trimtab_trainer.execution.last_frame import describe_last_frame, shorten

__all__ = ["blame_user_code", "check_code_dir", "import_entrypoint"]

_MESSAGE_LIMIT = 256
_OWN = Path(__file__).resolve().parents[1]

# Folders that many projects have, and that many packages install by mistake; none is imported by
# a library.
_PROJECT_FOLDERS = frozenset({"test", "tests", "docs", "examples", "benchmarks", "scripts"})


def import_entrypoint(reference: str, code_dir: Path | None) -> object:
    """Import what `module:attr` names, looking into the folder of the manifest first.

    The folder stays first on the import path, because user code may import more when it is
    called. Packages of the folder may import relatively.

    Args:
        reference: Module and attribute, both may be dotted: `package.module:Class.method`.
        code_dir: The folder of the manifest; None where code comes from the environment only.

    Raises:
        UserError: The module is missing, raises, or is hidden by another of its name; a module
            of the folder hides another; or there is no such attribute. The text has at most 256
            characters.
    """
    module_name, _, attribute = reference.partition(":")
    if not (module_name and attribute):
        raise UserError(f"entry point must be module:attr but got {reference!r}")
    if code_dir is not None:
        check_code_dir(code_dir)
        _put_first(code_dir)
        _refuse_hidden(module_name.partition(".")[0], code_dir)
    importlib.invalidate_caches()
    with blame_user_code(f"entry point {reference}: import", code_dir):
        found: object = importlib.import_module(module_name)
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            text = f"entry point {reference} must name an attribute of the module, but {error}"
            raise UserError(shorten(text, _MESSAGE_LIMIT)) from error
    return found


def check_code_dir(code_dir: Path) -> None:
    """Refuse modules beside the manifest that have the name of an installed one.

    The folder is first on the import path, so every library that imports `queue` would get a
    `queue.py` of the user, and fail or go wrong far from the cause. Plain folders hide nothing:
    Python prefers any module of that name.

    Args:
        code_dir: The folder of the manifest.

    Raises:
        UserError: There is such a module; it and what it hides are named.
    """
    folder = code_dir.resolve()
    own = {folder, Path.cwd()}
    elsewhere = [entry for entry in sys.path if Path(entry).resolve() not in own]
    for module in pkgutil.iter_modules([str(folder)]):
        if module.name not in _PROJECT_FOLDERS:
            hidden = _find_namesake(module.name, elsewhere)
            if hidden:
                raise UserError(_describe_clash(module.name, f"it hides {hidden}"))


@contextmanager
def blame_user_code(what: str, code_dir: Path | None) -> Iterator[None]:
    """Turn what user code raises in this block into a UserError of one line.

    Errors of the trainer and an exhausted memory pass: they have a class of their own. Even
    SystemExit is caught, or a script that ends itself would end the run without a word.

    Args:
        what: What the code was asked for; the text goes on with "raised".
        code_dir: Frames of this folder are named rather than those of the libraries it calls.

    Raises:
        UserError: With type, text and last frame of the exception, at most 256 characters.
    """
    try:
        yield
    except (TrainerError, MemoryError, torch.OutOfMemoryError):
        raise
    except (Exception, SystemExit) as error:
        place = describe_last_frame(error, code_dir=code_dir, hidden=_OWN)
        text = f"{what} raised {type(error).__name__}: {error}"
        raise UserError(shorten(text, _MESSAGE_LIMIT - len(place)) + place) from error


def _put_first(code_dir: Path) -> None:
    entry = str(code_dir.resolve())
    if sys.path[0] != entry:
        sys.path[:] = [entry, *(other for other in sys.path if other != entry)]


def _find_namesake(name: str, places: list[str]) -> str | None:
    if name in sys.stdlib_module_names:
        return "the standard library's"
    spec = importlib.machinery.PathFinder.find_spec(name, places)
    return None if spec is None else spec.origin  # a plain folder has none


def _refuse_hidden(name: str, code_dir: Path) -> None:
    """Refuse a user's module that another of its name, loaded before, would stand in for."""
    loaded = sys.modules.get(name)
    spec = importlib.machinery.PathFinder.find_spec(name, [str(code_dir.resolve())])
    if loaded is None or spec is None or spec.origin is None:
        return
    origin = getattr(loaded, "__file__", None)
    if origin is None or Path(origin).resolve() != Path(spec.origin).resolve():
        place = origin or "the interpreter"
        raise UserError(_describe_clash(name, f"{place} is loaded as it"))


def _describe_clash(name: str, why: str) -> str:
    text = f"module {name} beside the manifest must have another name: {why}"
    return shorten(text, _MESSAGE_LIMIT)
