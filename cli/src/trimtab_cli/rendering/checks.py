"""What `trimtab doctor` found, as lines with the commands that mend it, and as plain data."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text

from trimtab_cli.doctor._base import Check, CheckState

__all__ = ["describe_checks", "print_checks"]

_STYLES = {
    CheckState.OK: "green",
    CheckState.NOTE: "yellow",
    CheckState.UNKNOWN: "yellow",
    CheckState.FAILED: "bold red",
}
_WIDTH = max(len(state) for state in CheckState)


def print_checks(checks: Iterable[Check]) -> None:
    """Print each check as soon as it is there."""
    console = Console(highlight=False, soft_wrap=True)
    for check in checks:
        line = Text(f"{check.state:<{_WIDTH}}", _STYLES[check.state])
        console.print(line.append(f"  {check.subject}: {check.text}", "default"))
        for part in check.remedy.splitlines():
            console.print(Text(f"{' ' * _WIDTH}  {part}", "dim"))


def describe_checks(checks: Iterable[Check]) -> list[dict[str, Any]]:
    """Return checks as plain data."""
    return [
        {
            "subject": check.subject,
            "state": check.state.value,
            "text": check.text,
            "remedy": check.remedy,
        }
        for check in checks
    ]
