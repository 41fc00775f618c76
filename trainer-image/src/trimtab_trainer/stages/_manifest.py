"""The manifest of the artifacts: what is published, with its figures.

Written by stage export after all files, and again by stage benchmark with the final figures and
what ships where. A file that it does not list is not published.
"""

from pathlib import Path
from typing import Any

from trimtab_api.reports import CandidateReport, FileReport
from trimtab_api.selection import file_for, pick_candidate
from trimtab_trainer.exporting.artifact import artifact_files
from trimtab_trainer.stages._base import Run
from trimtab_trainer.storage.filesystem import write_json

__all__ = ["write_manifest"]


def write_manifest(run: Run) -> Path:
    """Write `artifacts/manifest.json` of what the run has now, and return its path."""
    path = run.context.artifacts / "manifest.json"
    shipped = _find_shipped(run) if run.measured else {}
    document = {
        "job": run.context.name,
        "fingerprint": run.context.fingerprint,
        "input": "decoded images, float32 in 0…1, N×C×H×W"
        if run.job.spec.dataset.entrypoint is None
        else "tensors as the data set's entry point gives them",
        "artifacts": [
            _describe(run, candidate, file, shipped)
            for candidate in run.candidates
            for file in candidate.files
        ],
    }
    run.store(lambda: write_json(path, document))
    return path


def _find_shipped(run: Run) -> dict[str, str]:
    """Return target → the file that ships for it."""
    baseline = run.baseline.metrics if run.baseline else {}
    shipped = {}
    for target in run.spec.targets:
        pick = pick_candidate(run.candidates, baseline, run.spec, target)
        file = file_for(pick.candidate, target) if pick else None
        if file is not None:
            shipped[target.name] = file.artifact
    return shipped


def _describe(
    run: Run, candidate: CandidateReport, file: FileReport, shipped: dict[str, str]
) -> dict[str, Any]:
    first, *others = artifact_files(run.context.root / file.artifact)
    return {
        "file": first.name,
        "companions": [path.name for path in others],
        "sha256": file.digest,
        "format": file.format,
        "candidate": candidate.id,
        "ships": [target for target, artifact in shipped.items() if artifact == file.artifact],
        "rejected": candidate.rejected,
        "weights": file.weight_dtypes,
        "activations": file.activation_dtypes,
        "maxAbsError": file.max_abs_error,
        "metrics": {**candidate.metrics, **file.metrics},
    }
