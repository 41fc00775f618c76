"""How much time of GPUs a run took, and how much it did not need. Pure.

Called by the journal. Everything is read from the study and the stages, so it holds over all
attempts and never shrinks: what a trial spared counts by what trials before it took.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from trimtab_api.progress import GpuSaving
from trimtab_api.reports import EpochReport, TrialReport
from trimtab_api.stages import StageName
from trimtab_api.v1alpha1.status import GpuSeconds, StageStatus, TrialState

__all__ = ["GpuTime", "measure_gpu_time", "measure_stage"]

_WITH_GPU = (StageName.TRAIN, StageName.PRUNE)


@dataclass(frozen=True, slots=True)
class GpuTime:
    """Seconds of one GPU."""

    used: float
    saved: Mapping[GpuSaving, float] = field(default_factory=dict)

    def summarize(self) -> GpuSeconds:
        """Return it as the status has it."""
        return GpuSeconds(used=self.used, saved=sum(self.saved.values()))


def measure_gpu_time(
    gpus: float,
    trials: Sequence[TrialReport],
    stages: Sequence[StageStatus],
    *,
    cached: Sequence[TrialReport] = (),
    training: Sequence[EpochReport] = (),
) -> GpuTime | None:
    """Return the time of the GPUs that trials and the training stages held.

    Args:
        gpus: That a slot holds.
        trials: Ended ones, in the order in which they ended.
        stages: Those that ended count.
        cached: Trials of an earlier job that were not run again.
        training: Epochs of the final training; those of a trial where its weights were taken.

    Returns:
        None where there is no GPU.
    """
    if gpus == 0:
        return None
    ran = sum(trial.seconds for trial in trials)
    ran += sum(measure_stage(stage) for stage in stages if stage.name in _WITH_GPU)
    saved = _spare(trials)
    taken = (trial.seconds for trial in trials if training and trial.intermediate == (*training,))
    saved[GpuSaving.CACHE] = sum(trial.seconds for trial in cached) + next(taken, 0.0)
    return GpuTime(gpus * ran, {reason: gpus * seconds for reason, seconds in saved.items()})


def _spare(trials: Sequence[TrialReport]) -> dict[GpuSaving, float]:
    """Return what trials that were cut short did not take, by the average of whole ones before."""
    spared = dict.fromkeys(GpuSaving, 0.0)
    whole: list[float] = []
    for trial in trials:
        reason = _find_reason(trial)
        if trial.state is TrialState.SUCCEEDED:
            whole.append(trial.seconds)
        elif reason is not None and whole:
            spared[reason] += max(0.0, sum(whole) / len(whole) - trial.seconds)
    return spared


def _find_reason(trial: TrialReport) -> GpuSaving | None:
    if trial.state is TrialState.STOPPED:
        return GpuSaving.EARLY_STOPPING
    if trial.state is TrialState.INFEASIBLE and trial.violations:
        return GpuSaving.STATIC_CONSTRAINT
    return None


def measure_stage(stage: StageStatus) -> float:
    """Return how long a stage took, in seconds; 0 before its end."""
    if stage.start_time is None or stage.completion_time is None:
        return 0.0
    start = datetime.fromisoformat(stage.start_time)
    return max(0.0, (datetime.fromisoformat(stage.completion_time) - start).total_seconds())
