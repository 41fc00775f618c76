"""Where an exception of user code came from, in the few words that a one-line message has room for.

Called by the failures of work and by whatever runs user code. What the message says else, and
what follows from the exception, is theirs.
"""

import traceback
from pathlib import Path

__all__ = ["describe_last_frame", "shorten"]


def describe_last_frame(
    error: BaseException, *, code_dir: Path | None, hidden: Path | None = None
) -> str:
    """Return ` (file.py:3 function)` for the last frame worth naming, or nothing.

    Frames of the user's folder are named rather than those of the libraries that it calls;
    without any, it is the last frame that is not the import machinery's.

    Args:
        error: As caught, with its traceback.
        code_dir: Folder of the user's code.
        hidden: Frames of this folder are never named.
    """
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen")
        and Path(frame.filename).parent.name != "importlib"
        and not (hidden and Path(frame.filename).is_relative_to(hidden))
    ]
    if code_dir is not None:
        folder = code_dir.resolve()
        frames = [f for f in frames if Path(f.filename).is_relative_to(folder)] or frames
    return "".join(f" ({Path(f.filename).name}:{f.lineno} {f.name})" for f in frames[-1:])


def shorten(text: str, limit: int) -> str:
    """Return a text as one line of at most `limit` characters; the last says that it was cut."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
