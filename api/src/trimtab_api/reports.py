"""The report of a run: `report.json` of a run folder.

Written by the trainer, read by the command line and by people's scripts. Paths are relative to
the folder of the file. Fields are only added within one schema number.
"""

from typing import Annotated, Any

from pydantic import Field

from trimtab_api.stages import StageReason
from trimtab_api.v1alpha1._base import ApiModel
from trimtab_api.v1alpha1._types import Scalar
from trimtab_api.v1alpha1.status import FailureClass, MetricMap, Status, TrialState

__all__ = [
    "REPORT_SCHEMA",
    "BaselineReport",
    "CandidateReport",
    "EpochReport",
    "PruneStepReport",
    "RunReport",
    "TrialFailure",
    "TrialReport",
]

REPORT_SCHEMA = 1


class EpochReport(ApiModel):
    """What one epoch of a training gave."""

    epoch: int
    """Counted from 1."""
    metrics: MetricMap
    """On the validation split, and `train_loss`."""
    seconds: float
    """Wall time of the epoch, evaluation included."""


class TrialFailure(ApiModel):
    """Why a trial has no value."""

    failure_class: Annotated[FailureClass, Field(alias="class")]
    """The class."""
    message: str
    """One line for people."""


class TrialReport(ApiModel):
    """One ended trial; also the record of the trial log."""

    number: int
    """Counted from 0."""
    state: TrialState
    """How it ended."""
    parameters: dict[str, Scalar]
    """Path of the field → value."""
    values: dict[str, float] = Field(default_factory=dict)
    """Objective → value; empty where the trial has none."""
    metrics: MetricMap = Field(default_factory=dict)
    """All metrics of the validation split."""
    intermediate: tuple[EpochReport, ...] = ()
    """One entry per epoch."""
    seconds: float
    """Wall time of the trial."""
    start_seconds: float = 0.0
    """Start, counted from the start of the search in this attempt."""
    slot: int = 0
    """Where it ran."""
    failure: TrialFailure | None = None
    """Why it has no value."""


class BaselineReport(ApiModel):
    """The dense fp32 model, exported and measured."""

    artifact: str
    """Its file."""
    digest: str
    """SHA-256 of the file."""
    metrics: MetricMap
    """Validation, static and per target."""
    test_metrics: MetricMap = Field(default_factory=dict)
    """On the test split; only reported."""


class CandidateReport(ApiModel):
    """One exported model that could ship."""

    id: str
    """Such as `dense`, `pruned` or `pruned-int8`."""
    stage: str
    """The stage that made it."""
    parent: str | None = None
    """The candidate it was made from."""
    artifact: str
    """Its file."""
    digest: str
    """SHA-256 of the file."""
    format: str
    """File format."""
    metrics: MetricMap
    """Validation and target metrics of the exported file, static ones of the network."""
    test_metrics: MetricMap = Field(default_factory=dict)
    """On the test split; only reported, no gate or pick looks at it."""
    feasible: bool = False
    """Whether it keeps every limit on every target."""
    rejected: str | None = None
    """Why it should not ship, with figures; None where it may."""
    reason: StageReason | None = None
    """The rejection in a word: one with NoGain never ships, one with BudgetExceeded only where no other is nearer to the limits."""
    details: dict[str, Any] = Field(default_factory=dict)
    """How it was made: layers quantized, calibration hash, parity figures and the like."""


class PruneStepReport(ApiModel):
    """One step of the pruning schedule."""

    step: int
    """Counted from 1."""
    ratio: float
    """Share of the channels removed so far."""
    params: int
    """Parameters after the cut."""
    flops: int
    """FLOPs of one sample after the cut."""
    metrics: MetricMap
    """Validation metrics after fine-tuning."""
    kept: bool
    """False where the step broke the budget and was undone."""


class RunReport(ApiModel):
    """Everything that a run leaves to read."""

    schema_version: Annotated[int, Field(alias="schema")] = REPORT_SCHEMA
    """Version of this file."""
    name: str
    """The job."""
    fingerprint: str
    """SHA-256 over the immutable fields of the manifest."""
    manifest: dict[str, Any]
    """The spec as it was written, with the schema's defaults."""
    spec: dict[str, Any]
    """The spec with every computed default and the best trial's parameters."""
    status: Status
    """In short, as on the resource in a cluster."""
    baseline: BaselineReport | None = None
    """None until the dense model was exported."""
    trials: tuple[TrialReport, ...] = ()
    """Every ended trial."""
    training: tuple[EpochReport, ...] = ()
    """Epochs of the final training."""
    prune_steps: tuple[PruneStepReport, ...] = ()
    """Steps of the pruning schedule."""
    candidates: tuple[CandidateReport, ...] = ()
    """Every exported model, the dense one first."""
    data: dict[str, Any] = Field(default_factory=dict)
    """Samples per split, and the hash of content and split."""
    environment: dict[str, Any] = Field(default_factory=dict)
    """Versions, processor, threads."""
    warnings: tuple[str, ...] = ()
    """What a reader should know."""
