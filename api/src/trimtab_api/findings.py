"""What is wrong with a manifest: field, value, expectation.

Made by `validation`, shown by the command line; one finding per error, in document order.
"""

from dataclasses import dataclass

__all__ = ["Finding", "InvalidJobError", "render_path"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One error of a manifest."""

    path: tuple[str | int, ...]
    """Keys and indices from the document's root."""
    value: str
    """The value found, as JSON, cut to a readable length; empty where nothing is there."""
    expectation: str
    """What is allowed."""

    def describe(self) -> str:
        """Return the finding in one line."""
        got = f" (got {self.value})" if self.value else ""
        return f"{render_path(self.path)}: {self.expectation}{got}"


class InvalidJobError(ValueError):
    """A manifest is not a valid OptimizationJob; carries every finding."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("; ".join(finding.describe() for finding in findings))
        self.findings = findings


def render_path(path: tuple[str | int, ...]) -> str:
    """Return a path as people write it: `spec.constraints[0].max`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text or "(document)"
