"""Text that others wrote, made fit for one line of a status, an event or a log. Pure.

Called where messages of user code and reports of a cluster come in. How figures read is left to
`wording`.
"""

__all__ = ["MESSAGE_LIMIT", "clean_text", "shorten"]

MESSAGE_LIMIT = 256
"""Characters of a message in status, reports and events."""


def clean_text(text: str) -> str:
    """Return a text with a blank for each character that is none to read."""
    return "".join(char if char.isprintable() else " " for char in text)


def shorten(message: str) -> str:
    """Return a message in one line of at most 256 characters, free of controls."""
    line = " ".join(clean_text(message).split())
    return line if len(line) <= MESSAGE_LIMIT else line[: MESSAGE_LIMIT - 1] + "…"
