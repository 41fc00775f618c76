"""Fresh in-memory studies of optuna that say nothing.

Made by the study, for single draws, and to rank parameters. Optuna tells of every study and trial
in words of its own, which the reporter does better.
"""

from collections.abc import Sequence

import optuna
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection

__all__ = ["create_study"]


def create_study(
    directions: Sequence[StudyDirection] = (StudyDirection.MINIMIZE,),
    sampler: BaseSampler | None = None,
) -> optuna.Study:
    """Return a study without trials."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(directions=list(directions), sampler=sampler)
