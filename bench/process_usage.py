"""CPU time and memory of a process, as the kernel counts them; for the benchmark of operators."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Usage", "parse_usage", "read_usage"]

_KIB_PER_MIB = 1024


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used since it began.

    Attributes:
        cpu_seconds: In user and kernel mode, of all its threads.
        resident_mib: Memory that it holds now.
        peak_mib: The most that it has held.
    """

    cpu_seconds: float
    resident_mib: float
    peak_mib: float


def read_usage(process: int) -> Usage:
    """Return the usage of a process by its id.

    Raises:
        OSError: It has ended, or waits for its end to be noticed.
    """
    folder = Path("/proc", str(process))
    stat, status = ((folder / name).read_text(encoding="utf-8") for name in ("stat", "status"))
    usage = parse_usage(stat, status, os.sysconf("SC_CLK_TCK"))
    if not usage.resident_mib:
        raise ProcessLookupError(f"process {process} has ended")
    return usage


def parse_usage(stat: str, status: str, ticks: int) -> Usage:
    """Return the usage that two files of `/proc` tell, with the ticks of a second."""
    # The second field is the program's name, which may hold blanks and brackets.
    fields = stat.rpartition(")")[2].split()
    return Usage(
        cpu_seconds=(int(fields[11]) + int(fields[12])) / ticks,
        resident_mib=_find_mib(status, "VmRSS"),
        peak_mib=_find_mib(status, "VmHWM"),
    )


def _find_mib(status: str, name: str) -> float:
    found = re.search(rf"^{name}:\s*(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) / _KIB_PER_MIB if found else 0.0
