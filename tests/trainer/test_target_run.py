"""The Job of a target times the very files of its attempt and leaves figures for the operator."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from canary import Canary
from candidate_builder import make_candidate, make_file
from job_runs import make_search_job
from report_builder import make_report
from small_exports import ResidualNet, export_network
from trimtab_api.defaults import DETECTED_PROFILE, expand_job
from trimtab_api.labels import target_key
from trimtab_api.progress import TargetReport, parse_target
from trimtab_api.reports import CandidateReport
from trimtab_api.stages import StageReason
from trimtab_trainer.benchmarking.runners import open_runner
from trimtab_trainer.errors import ExportFailedError, TargetUnmeasuredError, UserError
from trimtab_trainer.exporting.artifact import digest_artifact
from trimtab_trainer.exporting.torch_program import export_pt2
from trimtab_trainer.reporting.config_map import ApiRefusedError
from trimtab_trainer.storage.filesystem import write_json
from trimtab_trainer.target_run import TARGETS, measure_target, report_target

TARGET_SPEC = {
    "name": "arm",
    "profile": "cpu-edge",
    "threads": 1,
    "nodeSelector": {"kubernetes.io/arch": "arm64"},
}


def make_attempt(root: Path) -> Path:
    """Leave the folder of an attempt: two files that may ship, one that may not, and a report."""
    (root / "artifacts").mkdir()
    candidates = []
    for name in ("dense", "pruned", "pruned-int8"):
        path = export_network(ResidualNet(), root / f"artifacts/{name}.onnx")
        file = make_file(name, 0.9, 0.1, 0.1).model_copy(update={"digest": digest_artifact(path)})
        reason = StageReason.NO_GAIN if name == "pruned-int8" else None
        candidates.append(make_candidate(name, files=(file,), reason=reason))
    return write_report(root, candidates, TARGET_SPEC)


def write_report(
    root: Path, candidates: list[CandidateReport], target: Mapping[str, object]
) -> Path:
    job = make_search_job(targets=[target], stages={"train": {}, "benchmark": {"repeats": 5}})
    spec = expand_job(job, cores=2, detected=DETECTED_PROFILE).spec
    report = make_report().model_copy(
        update={
            "spec": spec.model_dump(mode="json", by_alias=True, exclude_none=True),
            "candidates": tuple(candidates),
        }
    )
    document = report.model_dump(mode="json", by_alias=True, exclude_none=True)
    write_json(root / "report.json", document)
    return root


@pytest.fixture(scope="module")
def attempt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_attempt(tmp_path_factory.mktemp("attempt"))


@pytest.fixture(scope="module")
def result(attempt: Path) -> TargetReport:
    return measure_target(attempt, "arm", uid="uid-1", attempt=3)


def test_baseline_and_what_may_ship_are_timed_side_by_side(result: TargetReport) -> None:
    assert (result.uid, result.attempt, result.device) == ("uid-1", 3, "cpu")
    assert list(result.candidates) == ["dense", "pruned"]
    assert result.baseline == result.candidates["dense"]
    assert result.baseline["speedup"] == 1.0
    ratio = result.baseline["latency_p50_ms"] / result.candidates["pruned"]["latency_p50_ms"]
    assert result.candidates["pruned"]["speedup"] == pytest.approx(ratio)
    assert result.candidates["pruned"]["memory_mib"] > 0


def test_the_figures_lie_in_storage_too(attempt: Path, result: TargetReport) -> None:
    assert parse_target((attempt / TARGETS / "arm.json").read_text()) == result


def test_the_operator_reads_what_was_sent_however_often_it_was_refused(
    result: TargetReport,
) -> None:
    there: dict[str, str] = {}
    refusals = [ApiRefusedError("status 503")]

    def send(keys: Mapping[str, str]) -> Mapping[str, str]:
        if refusals:
            raise refusals.pop()
        there.update(keys)
        return there

    assert report_target("arm", result, send)
    assert parse_target(there[target_key("arm")]) == result


def test_f46_sending_ends_when_nobody_takes_it(result: TargetReport) -> None:
    def refuse(_: Mapping[str, str]) -> Mapping[str, str]:
        raise ApiRefusedError("status 403")

    assert not report_target("arm", result, refuse, timeout=0.01)


def test_a_target_that_the_job_does_not_have_is_refused(attempt: Path) -> None:
    with pytest.raises(UserError, match="must be one of arm but is edge"):
        measure_target(attempt, "edge", uid="u", attempt=1)


def test_f59_a_file_that_is_not_the_exported_one_is_not_timed(tmp_path: Path) -> None:
    root = make_attempt(tmp_path)
    with (root / "artifacts/pruned.onnx").open("ab") as file:
        file.write(b"more")
    with pytest.raises(TargetUnmeasuredError, match=r"pruned\.onnx must have sha256"):
        measure_target(root, "arm", uid="u", attempt=1)
    (root / "artifacts/dense.onnx").unlink()
    with pytest.raises(TargetUnmeasuredError, match="it is not there"):
        measure_target(root, "arm", uid="u", attempt=1)


def poison(path: Path, content: bytes) -> None:
    """Put a pickle where a program of torch.export keeps examples of its input."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    (name,) = (name for name in entries if "/sample_inputs/" in name)
    with zipfile.ZipFile(path, "w") as archive:
        for entry, known in entries.items():
            archive.writestr(entry, content if entry == name else known)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_f60_a_program_that_is_not_the_exported_one_is_never_loaded(tmp_path: Path) -> None:
    """Loading a program of torch.export runs what is pickled in it: the hash comes first."""
    canary, path = Canary(tmp_path / "canary"), tmp_path / "artifacts" / "dense.pt2"
    path.parent.mkdir()
    export_pt2(torch.nn.ReLU(), example=torch.rand(2, 3), path=path)
    changes = {"format": "pt2", "artifact": "artifacts/dense.pt2", "digest": digest_artifact(path)}
    file = make_file("dense", 0.9, 0.1, 0.1).model_copy(update=changes)
    candidate = make_candidate("dense", files=(file,))
    write_report(tmp_path, [candidate], {**TARGET_SPEC, "runtime": "torch"})
    poison(path, canary.content)
    with pytest.raises(TargetUnmeasuredError, match=r"dense\.pt2 must have sha256"):
        measure_target(tmp_path, "arm", uid="u", attempt=1)
    canary.check()
    with pytest.raises(ExportFailedError):
        open_runner(path, threads=1)
    assert canary.path.exists()  # whoever loads it without the hash is not warned


def test_without_the_report_of_the_attempt_nothing_is_timed(tmp_path: Path) -> None:
    with pytest.raises(TargetUnmeasuredError, match="must hold the report"):
        measure_target(tmp_path, "arm", uid="u", attempt=1)
