"""What every benchmark prints and writes: tables, figures beside their goals, facts of the machine.

Used by the programs of this folder. A figure is never asserted: it is printed with `met` or
`not met`, and stands in the JSON file with the command and the machine that gave it.
"""

import argparse
import json
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import assert_never

__all__ = [
    "FASHION_MNIST",
    "Cell",
    "Figure",
    "Goal",
    "Report",
    "Sense",
    "make_parser",
    "median",
    "require_data",
]

Cell = str | int | float | None
"""None where nothing was measured, or the target was not reached."""

FASHION_MNIST = Path("trimtab-data/datasets/fashion-mnist")
"""What `make data` fills, from the root of the project."""
_CPU_INFO = Path("/proc/cpuinfo")
_MEMORY_INFO = Path("/proc/meminfo")
_KIB_PER_GIB = 2**20
_DIGITS = 4
_LIBRARIES = ("torch", "ray", "optuna")


class Sense(Enum):
    """On which side of its bound a figure should lie."""

    AT_MOST = "≤"
    AT_LEAST = "≥"


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound that the design sets for a figure."""

    sense: Sense
    bound: float

    def is_met(self, value: float | None) -> bool:
        """Return whether a figure keeps the bound; one without a value does not."""
        if value is None:
            return False
        match self.sense:
            case Sense.AT_MOST:
                return value <= self.bound
            case Sense.AT_LEAST:
                return value >= self.bound
            case _:
                assert_never(self.sense)


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that a benchmark is about."""

    name: str
    value: float | None
    unit: str = ""
    goal: Goal | None = None

    def describe_verdict(self) -> str:
        """Return `met` or `not met`; nothing where there is no goal."""
        if self.goal is None:
            return ""
        return "met" if self.goal.is_met(self.value) else "not met"


@dataclass(slots=True)
class Report:
    """What one run of a benchmark found, in the order in which it is told.

    Args:
        title: Name of the benchmark and of the goal it is about.
        settings: What was run, as JSON-able values.
    """

    title: str
    settings: Mapping[str, object]
    notes: list[str] = field(default_factory=list)
    """How to read the figures."""
    _tables: dict[str, list[dict[str, Cell]]] = field(default_factory=dict)
    _figures: list[Figure] = field(default_factory=list)

    def add_table(self, name: str, rows: Sequence[Mapping[str, Cell]]) -> None:
        """Add a table; all rows have the columns of the first one."""
        self._tables[name] = [dict(row) for row in rows]

    def add_figure(self, figure: Figure) -> None:
        """Add a figure."""
        self._figures.append(figure)

    def publish(self, path: Path | None) -> None:
        """Print the report and, given a path, write it there as JSON.

        Raises:
            ValueError: A number is NaN or infinite.
            OSError: The file cannot be written.
        """
        document = self._to_json()
        text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False)
        print(self._to_text())
        if path is not None:
            path.write_text(text + "\n", encoding="utf-8")

    def _to_json(self) -> dict[str, object]:
        return {
            "benchmark": self.title,
            "command": _read_command(),
            "machine": _read_machine(),
            "settings": dict(self.settings),
            "notes": self.notes,
            "tables": self._tables,
            "figures": [
                {
                    "name": figure.name,
                    "value": figure.value,
                    "unit": figure.unit,
                    "goal": f"{figure.goal.sense.value} {figure.goal.bound:g}"
                    if figure.goal
                    else None,
                    "met": figure.goal.is_met(figure.value) if figure.goal else None,
                }
                for figure in self._figures
            ],
        }

    def _to_text(self) -> str:
        machine = ", ".join(f"{name} {value}" for name, value in _read_machine().items())
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        lines = [self.title, "", f"command   {_read_command()}"]
        lines += [f"machine   {machine}", f"settings  {settings}"]
        for name, rows in self._tables.items():
            lines += ["", name, *_lay_out(rows)]
        if self._figures:
            lines += ["", "figures and goals", *_lay_out([_row_of(each) for each in self._figures])]
        if self.notes:
            lines += ["", *(f"* {note}" for note in self.notes)]
        return "\n".join(lines)


def _row_of(figure: Figure) -> dict[str, Cell]:
    goal = f"{figure.goal.sense.value} {figure.goal.bound:g}" if figure.goal else ""
    return {
        "figure": figure.name,
        "value": figure.value,
        "unit": figure.unit,
        "goal": goal,
        "verdict": figure.describe_verdict(),
    }


def _lay_out(rows: Sequence[Mapping[str, Cell]]) -> list[str]:
    """Return the lines of a table: words to the left, numbers to the right."""
    if not rows:
        return ["(nothing measured)"]
    columns = list(rows[0])
    texts = [columns, *([_format(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in texts) for index in range(len(columns))]
    is_word = [any(isinstance(row[column], str) for row in rows) for column in columns]
    lines = [
        "  ".join(
            text.ljust(width) if word else text.rjust(width)
            for text, width, word in zip(line, widths, is_word, strict=True)
        ).rstrip()
        for line in texts
    ]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def _format(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.0f}" if abs(cell) >= 10**_DIGITS else f"{cell:.{_DIGITS}g}"
    return str(cell)


def median(values: Sequence[float | None]) -> float | None:
    """Return the median, where None is larger than any number; None if the middle is None.

    Of an even count the lower one of the two in the middle is taken when the other is None.

    Args:
        values: At least one.
    """
    found = sorted(value for value in values if value is not None)
    low, high = (len(values) - 1) // 2, len(values) // 2
    if low >= len(found):
        return None
    return (found[low] + found[min(high, len(found) - 1)]) / 2


def make_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="see that it works, in seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there too")
    return parser


def require_data(parser: argparse.ArgumentParser, folder: Path) -> None:
    """End with a usage error where the folder of a `--data` option is none."""
    if not folder.is_dir():
        parser.error(
            f"--data must be a folder of IDX files but got {folder}; `make data` fills"
            f" {FASHION_MNIST}"
        )


def _read_command() -> str:
    return " ".join([Path(sys.executable).name, *sys.orig_argv[1:]])


def _read_machine() -> dict[str, str]:
    """Return what figures depend on, without what would name the machine."""
    return {
        "cpu": _find(_CPU_INFO, r"^model name\s*:\s*(.*)$") or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": _read_memory(),
        "load": f"{os.getloadavg()[0]:.2f}",
        "python": platform.python_version(),
        **{name: version(name) for name in _LIBRARIES},
    }


def _read_memory() -> str:
    kib = _find(_MEMORY_INFO, r"^MemTotal:\s*(\d+)")
    return f"{int(kib) / _KIB_PER_GIB:.0f} GiB" if kib else "unknown"


def _find(source: Path, pattern: str) -> str | None:
    try:
        found = re.search(pattern, source.read_text(encoding="utf-8"), flags=re.MULTILINE)
    except OSError:
        return None
    return found[1].strip() if found else None
