"""The six stage words and their order, and the states a stage can have.

Everything that names a stage (spec keys, status entries, reports, folders) takes the word from here.
"""

from enum import StrEnum

__all__ = ["STAGE_ORDER", "StageName", "StageReason", "StageState"]


class StageName(StrEnum):
    """A stage, in the fixed order of execution."""

    SEARCH = "search"
    TRAIN = "train"
    PRUNE = "prune"
    QUANTIZE = "quantize"
    EXPORT = "export"
    BENCHMARK = "benchmark"


STAGE_ORDER: tuple[StageName, ...] = tuple(StageName)
"""The order of execution; export and benchmark always run, the others when asked for."""


class StageState(StrEnum):
    """How far a stage is."""

    WAITING = "Waiting"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    CACHED = "Cached"
    SKIPPED = "Skipped"
    FAILED = "Failed"


class StageReason(StrEnum):
    """Why a stage ended as it did, where the state alone does not tell."""

    NO_GAIN = "NoGain"
    """Succeeded: no candidate is smaller or faster than its parent, which stays selected."""
    BUDGET_EXCEEDED = "BudgetExceeded"
    """Succeeded: the candidate breaks the accuracy budget and was rejected or undone."""
    LAYERS_KEPT_FLOAT = "LayersKeptFloat"
    """Succeeded: some layers stay float, because they cannot be quantized or so that limits are kept."""
    BY_PROFILE = "ByProfile"
    """Skipped: the first target's profile does not ask for it."""
    NOT_REQUESTED = "NotRequested"
    """Skipped: the manifest does not ask for it."""
    OPERATOR_UNSUPPORTED = "OperatorUnsupported"
    """Failed: an operator of the model cannot be quantized."""
    CALIBRATION_INVALID = "CalibrationInvalid"
    """Failed: the calibration samples give no usable ranges."""
    EXPORT_FAILED = "ExportFailed"
    """Failed: the model cannot be exported, or its file does not do what the model does."""
