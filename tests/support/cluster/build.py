"""`python -m cluster.build [NAME …]`: build the programs of the test clusters, one at a time.

For people and for continuous integration, who want to wait here and not in the first test.
"""

import sys
import time

from cluster.programs import PROGRAMS, program

__all__ = ["build"]


def build(names: list[str]) -> None:
    """Build programs and print how long each took.

    Raises:
        ClusterStartError: A build failed.
        MissingToolError: There is no Go.
    """
    for name in names:
        started = time.monotonic()
        path = program(name)
        sys.stdout.write(f"{name}: {time.monotonic() - started:.0f} s, {path}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    build(sys.argv[1:] or list(PROGRAMS))
