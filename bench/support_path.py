"""Makes the clusters of the tests importable: import it before anything of `tests/support`."""

import sys
from pathlib import Path

__all__ = ["SUPPORT"]

SUPPORT = Path(__file__).parents[1] / "tests" / "support"
if str(SUPPORT) not in sys.path:
    sys.path.append(str(SUPPORT))
