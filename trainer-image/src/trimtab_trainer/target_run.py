"""The Job of one target: times the files of an attempt side by side on the node it was placed on.

Started by `python -m trimtab_trainer measure TARGET` after the attempt's driver has ended. It reads
the report and the artifacts from storage, checks each file by its hash, and leaves its figures in
storage and in the report ConfigMap. Which candidate ships is left to the operator.
"""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from trimtab_api.labels import target_key
from trimtab_api.progress import TargetReport
from trimtab_api.reports import CandidateReport, RunReport
from trimtab_api.selection import file_for
from trimtab_api.stages import StageReason
from trimtab_api.techniques import DENSE
from trimtab_api.v1alpha1.goals import Target, TargetDevice
from trimtab_api.v1alpha1.job import Spec
from trimtab_trainer.benchmarking.latency import Measurement, measure
from trimtab_trainer.environment import name_node
from trimtab_trainer.errors import TargetUnmeasuredError, UserError
from trimtab_trainer.exporting.artifact import artifact_files, digest_artifact
from trimtab_trainer.reporting.sender import Sender
from trimtab_trainer.storage.filesystem import read_json, write_json
from trimtab_trainer.storage.mirror import fetch_named

__all__ = ["TARGETS", "measure_target", "report_target"]

_LOG = logging.getLogger(__name__)

TARGETS = "targets"
"""Folder of an attempt with one file per target."""
_SEND_SECONDS = 120.0


def measure_target(root: Path, name: str, *, uid: str, attempt: int) -> TargetReport:
    """Time baseline and candidates as a target says.

    Args:
        root: Folder of the attempt.
        name: The target.
        uid: Of the job.
        attempt: Its number.

    Returns:
        The figures, which also lie in the attempt's folder.

    Raises:
        UserError: The job has no such target.
        TargetUnmeasuredError: The attempt has no report, a file is not the one that was exported,
            or the measuring fails.
        ExportFailedError: The runtime refuses a file.
        OSError: Storage does not answer.
    """
    report = _read_report(root)
    spec = Spec.model_validate(report.spec)
    target = next((entry for entry in spec.targets if entry.name == name), None)
    if target is None:
        names = ", ".join(entry.name for entry in spec.targets)
        raise UserError(f"the target must be one of {names} but is {name}")
    files = _find_files(root, report.candidates, target)
    settings = spec.stages.benchmark
    measured = measure(
        files,
        threads=min(target.threads or 1, len(os.sched_getaffinity(0))),
        batch_size=target.batch_size or 1,
        device=target.device or TargetDevice.CPU,
        warmup=settings.warmup,
        repeats=settings.repeats,
        timeout_seconds=settings.timeout_seconds,
    )
    figures = _describe(measured)
    result = TargetReport(
        uid=uid,
        attempt=attempt,
        node=name_node(),
        device=TargetDevice(next(iter(measured.values())).device),
        baseline=figures[DENSE],
        candidates=figures,
    )
    write_json(
        root / TARGETS / f"{name}.json",
        result.model_dump(mode="json", by_alias=True, exclude_none=True),
    )
    return result


def _read_report(root: Path) -> RunReport:
    path = root / "report.json"
    fetch_named([path])
    document = read_json(path)
    if document is None:
        raise TargetUnmeasuredError(f"{path} must hold the report of the attempt but is not there")
    return RunReport.model_validate(document)


def _find_files(
    root: Path, candidates: tuple[CandidateReport, ...], target: Target
) -> dict[str, Path]:
    """Return candidate → its file for the target, of those that can still ship; checked."""
    files = {}
    for candidate in candidates:
        file = file_for(candidate, target)
        if file is None or candidate.reason is StageReason.NO_GAIN:
            continue
        path = root / file.artifact
        fetch_named(artifact_files(path))
        try:
            found = digest_artifact(path)
        except FileNotFoundError:
            found = "none, because it is not there"
        if found != file.digest:
            raise TargetUnmeasuredError(
                f"{file.artifact} must have sha256 {file.digest} but has {found}"
            )
        files[candidate.id] = path
    if DENSE not in files:
        raise TargetUnmeasuredError(f"the baseline has no file that runs on {target.name}")
    return files


def _describe(measured: Mapping[str, Measurement]) -> dict[str, dict[str, float]]:
    """Return the figures as the operator takes them, with the speedup against the baseline."""
    dense = measured[DENSE].latency_p50_ms
    figures = {}
    for name, measurement in measured.items():
        own = {
            key: float(value)
            for key, value in asdict(measurement).items()
            if key != "device" and value is not None
        }
        figures[name] = {**own, "speedup": dense / measurement.latency_p50_ms}
    return figures


def report_target(
    name: str,
    result: TargetReport,
    send: Callable[[Mapping[str, str]], Mapping[str, str]],
    *,
    timeout: float = _SEND_SECONDS,
) -> bool:
    """Put the figures into the report ConfigMap, trying for a while; return whether they are there.

    Args:
        name: The target.
        result: Its figures.
        send: Sets keys of the ConfigMap; raises ApiRefusedError.
        timeout: Seconds to try.
    """
    sender = Sender(send, lambda _: None)
    sender.put({target_key(name): result.model_dump_json(by_alias=True, exclude_none=True)})
    there = sender.flush(timeout)
    sender.stop()
    return there
