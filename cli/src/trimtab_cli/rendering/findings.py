"""Findings as lines on the terminal, coloured where it can, and as plain data for programs.

Called by the commands; made by `manifests`.
"""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text

from trimtab_api.findings import render_path
from trimtab_cli.manifests import LocatedFinding

__all__ = ["describe_findings", "print_findings"]


def print_findings(findings: Iterable[LocatedFinding], *, to_stderr: bool) -> None:
    """Print each finding as `file:line: path: expectation (got value)`."""
    console = Console(stderr=to_stderr, soft_wrap=True)
    for finding in findings:
        text = Text(str(finding), overflow="ignore")
        text.highlight_regex(r"^\S+?(?=: )", "bold")
        text.highlight_regex(r"\(got .*\)$", "dim")
        console.print(text)


def describe_findings(findings: Iterable[LocatedFinding]) -> list[dict[str, Any]]:
    """Return findings as plain data."""
    return [
        {
            "file": entry.file,
            "line": entry.line,
            "path": render_path(entry.finding.path),
            "expectation": entry.finding.expectation,
            "value": entry.finding.value,
        }
        for entry in findings
    ]
