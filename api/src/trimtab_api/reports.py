"""The report of a run: `report.json` of a run folder.

Written by the trainer, read by the command line and by people's scripts. Paths are relative to
the folder of the file. Fields are only added within one schema number.
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from trimtab_api.stages import StageReason
from trimtab_api.v1alpha1._base import ApiModel
from trimtab_api.v1alpha1._types import Scalar
from trimtab_api.v1alpha1.runtime import FailureAction
from trimtab_api.v1alpha1.status import FailureClass, MetricMap, Status, TrialState

__all__ = [
    "REPORT_SCHEMA",
    "BaselineReport",
    "CandidateReport",
    "ChoiceOutcome",
    "ChoiceReport",
    "CurvePoint",
    "EpochReport",
    "FileReport",
    "ImportanceReport",
    "NumericsReport",
    "PruneStepReport",
    "PrunedLayerReport",
    "RetryReport",
    "RunReport",
    "TrialFailure",
    "TrialReport",
]

REPORT_SCHEMA = 1


class NumericsReport(ApiModel):
    """In which type an epoch was computed, and what loss scaling met."""

    dtype: str
    """Type that autocast cast to at the end of the epoch."""
    emulated: bool = False
    """True where the device computes it in another type."""
    loss_scale: float | None = None
    """At the end of the epoch; absent where the loss is not scaled."""
    overflows: int = 0
    """Steps of the epoch that were skipped because a gradient overflowed."""
    fallback_from: str | None = None
    """The type that was given up in this epoch, if any."""


class EpochReport(ApiModel):
    """What one epoch of a training gave."""

    epoch: int
    """Counted from 1."""
    metrics: MetricMap
    """On the validation split, and `train_loss`."""
    seconds: float
    """Wall time of the epoch, evaluation included."""
    numerics: NumericsReport | None = None
    """Absent in reports of older versions."""


class TrialFailure(ApiModel):
    """Why a trial has no value."""

    failure_class: Annotated[FailureClass, Field(alias="class")]
    """The class."""
    message: str
    """One line for people."""


class RetryReport(ApiModel):
    """A failure of a trial after which it ran again."""

    failure_class: Annotated[FailureClass, Field(alias="class")]
    """The class."""
    message: str
    """One line for people."""
    action: FailureAction
    """What was done about it."""


class ImportanceReport(ApiModel):
    """How much of an objective's variation over the trials each parameter explains."""

    metric: str
    """The objective."""
    shares: dict[str, float]
    """Parameter → share, largest first; they sum to 1."""


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
    attempt: int = 1
    """In which start of the run it ended."""
    failure: TrialFailure | None = None
    """Why it has no value."""
    retries: tuple[RetryReport, ...] = ()
    """Failures after which it ran again."""
    violations: dict[str, float] = Field(default_factory=dict)
    """Limit that a trial can tell → by how much its value is past it, in the metric's unit; kept limits are not listed."""


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


class ChoiceOutcome(StrEnum):
    """What became of a candidate for a target."""

    SHIPS = "Ships"
    """It is the target's pick."""
    FEASIBLE = "Feasible"
    """It keeps every limit; another is preferred."""
    OVER_LIMIT = "OverLimit"
    """It misses a limit."""
    REJECTED = "Rejected"
    """It is neither smaller nor faster than what it was made from."""
    UNMEASURED = "Unmeasured"
    """It was built, but has no figures on the target."""
    UNBUILT = "Unbuilt"
    """There is no such file for the target."""


class FileReport(ApiModel):
    """A candidate in one file format, evaluated and sized by itself."""

    format: str
    """onnx, pt2 or openvino."""
    artifact: str
    """Its file; the .bin of an openvino file lies beside it."""
    digest: str
    """SHA-256 of the file, its companions included."""
    size_mib: float
    """All files of the artifact."""
    size_compressed_mib: float
    """The same, compressed by zstd."""
    metrics: MetricMap = Field(default_factory=dict)
    """Validation metrics of this file in its own runtime, and once timed its latencies under the first target's settings."""
    weight_dtypes: tuple[str, ...] = ()
    """Types of the weights, read back from the file; sorted."""
    activation_dtypes: tuple[str, ...] = ()
    """Types that layers with weights compute their inputs in, read back from the file; sorted."""
    max_abs_error: float | None = None
    """Largest difference to the outputs of the float model in torch; None where the file is not meant to equal it."""


class CandidateReport(ApiModel):
    """One model that could ship, in as many file formats as targets and manifest ask for."""

    id: str
    """Such as `dense`, `pruned` or `pruned-int8`."""
    stage: str
    """The stage that made it."""
    parent: str | None = None
    """The candidate it was made from."""
    artifact: str
    """Its file in the first target's format."""
    digest: str
    """SHA-256 of that file, its companions included."""
    format: str
    """Format of that file."""
    files: tuple[FileReport, ...] = ()
    """Every format, that one first."""
    metrics: MetricMap
    """Validation metrics (the worst over its files), target metrics of the file that the target's runtime takes, static ones of the network."""
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

    @property
    def rejection(self) -> ChoiceOutcome | None:
        """Return in which sense it should not ship; None where it may."""
        if self.rejected is None:
            return None
        no_gain = self.reason is StageReason.NO_GAIN
        return ChoiceOutcome.REJECTED if no_gain else ChoiceOutcome.OVER_LIMIT


class PruneStepReport(ApiModel):
    """One step of the pruning schedule."""

    step: int
    """Counted from 1."""
    ratio: float
    """Share of all units that is gone after the step; of the weights with granularity Weights."""
    params: int
    """Parameters after the cut."""
    flops: int
    """FLOPs of one sample after the cut."""
    sparsity: float = 0.0
    """Share of the weights that are zero after the step."""
    metrics: MetricMap
    """Validation metrics after fine-tuning."""
    kept: bool
    """False where the step broke the budget and was undone."""


class CurvePoint(ApiModel):
    """What cutting one layer alone costs, without fine-tuning."""

    ratio: float
    """Share of the layer that was cut."""
    drop: float
    """By how much the primary metric gets worse, in its unit; negative where better."""
    loss_increase: float
    """By how much the task's loss grows."""


class PrunedLayerReport(ApiModel):
    """One layer, with what is coupled to it, before and after pruning."""

    layer: str
    """Name of the layer whose outputs are counted."""
    kind: str
    """Neurons, Filters or Weights: what is counted."""
    before: int
    """Units of the dense model; weights with granularity Weights."""
    after: int
    """Units that are left; weights that are not zero with granularity Weights."""
    curve: tuple[CurvePoint, ...] = ()
    """Its measured sensitivity, by ratio; empty where none was measured."""


class ChoiceReport(ApiModel):
    """Why a candidate ships for a target, or does not."""

    target: str
    """Name of the target."""
    candidate: str
    """Its id, or what would have ended the id of a technique that no model was built with."""
    outcome: ChoiceOutcome
    """Ships, Feasible, OverLimit, Rejected, Unmeasured or Unbuilt."""
    text: str
    """One line with the figures that decided."""


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
    cached_trials: tuple[TrialReport, ...] = ()
    """Trials of an earlier job that the search knew from the start (`warmStart.fromJob`)."""
    importance: tuple[ImportanceReport, ...] = ()
    """Per objective; empty where there are too few trials to tell."""
    training: tuple[EpochReport, ...] = ()
    """Epochs of the final training."""
    prune_steps: tuple[PruneStepReport, ...] = ()
    """Steps of the pruning schedule."""
    pruned_layers: tuple[PrunedLayerReport, ...] = ()
    """Every layer that could be cut, in order of the network."""
    candidates: tuple[CandidateReport, ...] = ()
    """Every exported model, the dense one first."""
    choices: tuple[ChoiceReport, ...] = ()
    """Per target, every candidate and every technique of its profile that was not built."""
    data: dict[str, Any] = Field(default_factory=dict)
    """Samples per split, and the hash of content and split."""
    environment: dict[str, Any] = Field(default_factory=dict)
    """Versions, processor, threads."""
    warnings: tuple[str, ...] = ()
    """What a reader should know."""
