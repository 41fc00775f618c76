"""The figures of a candidate that its picks need, small enough for the report ConfigMap.

The driver summarizes each candidate for `progress`; `outcome` restores them, so that the operator
picks with the same functions as the trainer.
"""

from typing import Annotated

from pydantic import Field, StringConstraints

from trimtab_api.metrics import KNOWN_METRICS
from trimtab_api.reports import CandidateReport, FileReport
from trimtab_api.stages import StageName, StageReason
from trimtab_api.untrusted import LONGEST_STRING
from trimtab_api.v1alpha1._base import ApiModel
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import METRICS_LIMIT, MetricMap

__all__ = ["CandidateSummary", "FileSummary", "select_metrics", "summarize_candidate"]


class FileSummary(ApiModel):
    """One file of a candidate."""

    format: Annotated[str, StringConstraints(max_length=16)]
    """onnx, pt2 or openvino."""
    artifact: Annotated[str, StringConstraints(max_length=LONGEST_STRING)]
    """Its path below the attempt's folder."""
    digest: Annotated[str, StringConstraints(max_length=64)]
    """SHA-256 of the file, its companions included."""
    size_mib: float
    """All files of the artifact."""
    size_compressed_mib: float
    """The same, compressed by zstd."""


class CandidateSummary(ApiModel):
    """What it takes to pick among candidates: the figures of one that could ship."""

    id: Annotated[str, StringConstraints(max_length=64)]
    """Such as `dense`, `pruned` or `pruned-int8`."""
    stage: StageName
    """The stage that made it."""
    parent: Annotated[str, StringConstraints(max_length=64)] | None = None
    """The candidate it was made from."""
    files: Annotated[tuple[FileSummary, ...], Field(min_length=1, max_length=3)]
    """Every format, that of the first target first."""
    metrics: MetricMap
    """Those that limits and preferences look at."""
    feasible: bool = False
    """Whether it keeps every limit that was measured."""
    reason: StageReason | None = None
    """Why it should not ship, in a word."""

    def restore(self) -> CandidateReport:
        """Return it as `selection` takes it; what the summary left out is empty."""
        first = self.files[0]
        return CandidateReport(
            id=self.id,
            stage=self.stage,
            parent=self.parent,
            artifact=first.artifact,
            digest=first.digest,
            format=first.format,
            files=tuple(FileReport(**dict(file)) for file in self.files),
            metrics=self.metrics,
            feasible=self.feasible,
            reason=self.reason,
        )


def summarize_candidate(candidate: CandidateReport, spec: Spec) -> CandidateSummary:
    """Return what the picks of a job's targets need of a candidate.

    Args:
        candidate: Judged, with at least one file.
        spec: Tells which metrics of a user's task limits and objectives look at.
    """
    return CandidateSummary(
        id=candidate.id,
        stage=StageName(candidate.stage),
        parent=candidate.parent,
        files=tuple(
            FileSummary(
                format=file.format,
                artifact=file.artifact,
                digest=file.digest,
                size_mib=file.size_mib,
                size_compressed_mib=file.size_compressed_mib,
            )
            for file in candidate.files
        ),
        metrics=select_metrics(candidate.metrics, spec),
        feasible=candidate.feasible,
        reason=candidate.reason,
    )


def select_metrics(metrics: MetricMap, spec: Spec) -> MetricMap:
    """Return the metrics that Trimtab knows or the job names, those of no target first."""
    named = {entry.metric for entry in spec.objectives}
    named |= {entry.metric for entry in spec.constraints}
    wanted = [
        key
        for key in sorted(metrics, key=lambda key: "@" in key)
        if key.partition("@")[0] in KNOWN_METRICS.keys() | named
    ]
    return {key: metrics[key] for key in wanted[:METRICS_LIMIT]}
