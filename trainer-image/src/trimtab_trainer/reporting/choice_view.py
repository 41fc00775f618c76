"""What the HTML report says of each candidate for a target: what became of it, and why. Pure.

Called by `target_view` and `candidate_table`. The outcomes are `trimtab_api.explanation`'s; a run
that did not come to its end has none, and its candidates are told by their own verdict.
"""

from dataclasses import dataclass

from trimtab_api.reports import ChoiceOutcome, ChoiceReport, RunReport
from trimtab_api.v1alpha1.export import ExportFormat
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import TargetStatus
from trimtab_api.wording import name_outcome
from trimtab_trainer.reporting.technique_words import name_technique

__all__ = ["ChoiceRow", "has_choices", "list_choices"]

_TONES = {
    ChoiceOutcome.SHIPS: "good",
    ChoiceOutcome.FEASIBLE: "open",
    ChoiceOutcome.OVER_LIMIT: "warn",
    ChoiceOutcome.REJECTED: "bad",
    ChoiceOutcome.UNMEASURED: "open",
    ChoiceOutcome.UNBUILT: "open",
}
"""Outcome → CSS class of its words."""


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """A candidate, or a technique that was not built, in a target's table of choices."""

    name: str
    words: str
    """What a technique is, where the text does not say it; empty for a candidate."""
    outcome: ChoiceOutcome
    outcome_words: str
    tone: str
    """A CSS class."""
    text: str


def list_choices(
    report: RunReport, spec: Spec, target: TargetStatus, file_format: ExportFormat
) -> list[ChoiceRow]:
    """Return the choices for a target: what ships, what could, what is over a limit, the rest.

    Args:
        report: The run.
        spec: Its expanded spec.
        target: One of its targets.
        file_format: What the target's runtime takes.
    """
    order = list(ChoiceOutcome)
    own = [choice for choice in report.choices if choice.target == target.name]
    own.sort(key=lambda choice: order.index(choice.outcome))
    return [_build_row(spec, choice, file_format) for choice in own]


def _build_row(spec: Spec, choice: ChoiceReport, file_format: ExportFormat) -> ChoiceRow:
    words = name_technique(spec, choice.candidate, file_format)
    return ChoiceRow(
        name=choice.candidate,
        words="" if words in choice.text else words,
        outcome=choice.outcome,
        outcome_words=name_outcome(choice.outcome),
        tone=_TONES[choice.outcome],
        text=choice.text,
    )


def has_choices(report: RunReport, target: TargetStatus) -> bool:
    """Return whether it was decided what ships for a target."""
    return any(choice.target == target.name for choice in report.choices)
