"""What the trial log holds: an ended trial, and which trials ran beside it at that moment.

Written by the search loop, read by the study at a start. The trials that were running are kept
because their parameters depend on what was known when they were asked for, in whatever order the
trials ended; a killed driver runs them again with equal parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from trimtab_api.reports import TrialReport
from trimtab_trainer.errors import TrialLogCorruptError
from trimtab_trainer.search.space import Point

__all__ = ["TrialRecord"]


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One record of the trial log."""

    trial: TrialReport
    running: Mapping[int, Point] = field(default_factory=dict)
    """Number → parameters of the trials that had no record yet."""

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON data."""
        return {
            "trial": self.trial.model_dump(mode="json", by_alias=True, exclude_none=True),
            "running": [
                {"number": number, "parameters": parameters}
                for number, parameters in self.running.items()
            ],
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "TrialRecord":
        """Read what `to_json` gave.

        Raises:
            TrialLogCorruptError: It is something else.
        """
        try:
            return cls(
                trial=TrialReport.model_validate(record["trial"]),
                running={entry["number"]: entry["parameters"] for entry in record["running"]},
            )
        except (KeyError, TypeError, ValidationError) as error:
            raise TrialLogCorruptError(
                f"a record of the trial log must describe a trial but: {error}"
            ) from error
