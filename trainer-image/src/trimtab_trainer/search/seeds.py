"""Seeds of single draws, derived from the job's seed.

Called where a draw must not depend on what was drawn before it in this process.
"""

import numpy as np

__all__ = ["derive_seed"]


def derive_seed(*parts: int) -> int:
    """Return a seed of 32 bits that differs between all sequences of non-negative numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
