"""The operator with a door through which a test asks what its process holds: `python -m probed_operator`.

`read_probe` asks. Rubbish is collected before each answer, so that what is counted is in use.
"""

import asyncio
import gc
import json
import os
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from trimtab_operator.__main__ import main

__all__ = ["PROBE_VARIABLE", "Holding", "read_probe"]

PROBE_VARIABLE = "TEST_PROBE_SOCKET"
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Holding:
    """What a process holds at one moment."""

    blocks: int
    """Of the interpreter's allocator: nearly every object has one."""
    resident: int
    """Bytes."""
    tasks: int
    threads: int
    files: int


def read_probe(path: Path) -> Holding:
    """Ask a probed operator.

    Args:
        path: Its socket.
    """
    with socket.socket(socket.AF_UNIX) as door:
        door.connect(str(path))
        with door.makefile("rb") as answer:
            return Holding(**json.loads(answer.read()))


def _count() -> Holding:
    gc.collect()
    tasks = sum(
        1 for one in gc.get_objects() if issubclass(type(one), asyncio.Task) and not one.done()
    )
    return Holding(
        blocks=sys.getallocatedblocks(),
        resident=int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE,
        tasks=tasks,
        threads=sum(1 for _ in Path("/proc/self/task").iterdir()),
        files=sum(1 for _ in Path("/proc/self/fd").iterdir()),
    )


def _answer_forever(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(path)
        door.listen()
        while True:
            asker, _ = door.accept()
            with asker:
                found = _count()
                values = {name: getattr(found, name) for name in Holding.__slots__}
                asker.sendall(json.dumps(values).encode())


if __name__ == "__main__":
    threading.Thread(
        target=_answer_forever, args=(os.environ[PROBE_VARIABLE],), daemon=True
    ).start()
    sys.exit(main())
