"""The user's own code: how it is imported, and how its exceptions become one line for the user.

Called by everything that takes an entry point: data sets and networks, tasks, and the preflight.
It leaves to its callers what the imported object must be and with what it is called.
"""

import importlib
import importlib.machinery
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from trimtab_trainer.errors import TrainerError, UserError

__all__ = ["blame_user_code", "import_entrypoint"]

_MESSAGE_LIMIT = 256


def import_entrypoint(reference: str, code_dir: Path | None) -> object:
    """Import what `module:attr` names, looking into the folder of the manifest first.

    The folder stays first on the import path, because user code may import more when it is
    called.

    Args:
        reference: Module and attribute, both may be dotted: `package.module:Class.method`.
        code_dir: The folder of the manifest; None where code comes from the environment only.

    Raises:
        UserError: The module is missing, raises, or is hidden by another of its name; or it has
            no such attribute. The text has at most 256 characters.
    """
    module_name, _, attribute = reference.partition(":")
    if not (module_name and attribute):
        raise UserError(f"entry point must be module:attr but got {reference!r}")
    if code_dir is not None:
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
            raise UserError(_shorten(text, _MESSAGE_LIMIT)) from error
    return found


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
        raise UserError(_describe(what, error, code_dir)) from error


def _put_first(code_dir: Path) -> None:
    entry = str(code_dir.resolve())
    if sys.path[0] != entry:
        sys.path[:] = [entry, *(other for other in sys.path if other != entry)]


def _refuse_hidden(name: str, code_dir: Path) -> None:
    """Refuse a user's `queue.py`, which would silently be the standard library's."""
    loaded = sys.modules.get(name)
    spec = importlib.machinery.PathFinder.find_spec(name, [str(code_dir.resolve())])
    if loaded is None or spec is None or spec.origin is None:
        return
    origin = getattr(loaded, "__file__", None)
    if origin is None or Path(origin).resolve() != Path(spec.origin).resolve():
        place = origin or "the interpreter"
        text = f"module {name} beside the manifest must have another name: {place} is loaded as it"
        raise UserError(_shorten(text, _MESSAGE_LIMIT))


def _describe(what: str, error: BaseException, code_dir: Path | None) -> str:
    frame = _last_frame(error, code_dir)
    place = "" if frame is None else f" ({Path(frame.filename).name}:{frame.lineno} {frame.name})"
    text = " ".join(f"{what} raised {type(error).__name__}: {error}".split())
    return _shorten(text, _MESSAGE_LIMIT - len(place)) + place


def _last_frame(error: BaseException, code_dir: Path | None) -> traceback.FrameSummary | None:
    own = str(Path(__file__).parent)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(("<frozen", own))
        and Path(frame.filename).parent.name != "importlib"
    ]
    if code_dir is not None:
        folder = code_dir.resolve()
        users = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
        frames = users or frames
    return frames[-1] if frames else None


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
