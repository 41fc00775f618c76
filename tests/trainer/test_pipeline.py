"""A whole job on a local Ray: what the folder holds, and how it goes on after every kind of end."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest
from sklearn.datasets import load_digits

from job_runs import LEARNING_RATE, condition, make_search_job, run
from trimtab_api.reports import RunReport
from trimtab_api.v1alpha1.conditions import ConditionType
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_api.validation import parse_job
from trimtab_trainer.errors import StudyMismatchError, UserError

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]


def make_job(**spec: object) -> OptimizationJob:
    """Return a job of seconds, with parts of its spec replaced."""
    document = {
        "apiVersion": "trimtab.dev/v1alpha1",
        "kind": "OptimizationJob",
        "metadata": {"name": "tiny"},
        "spec": {
            "model": {"builtin": "mlp"},
            "dataset": {"builtin": "digits"},
            "constraints": [{"metric": "accuracy", "maxDrop": 0.05}],
            "targets": [{"name": "edge", "profile": "cpu-edge", "threads": 1, "prefer": "Size"}],
            "stages": {
                "search": {
                    "algorithm": {"random": {}},
                    "numTrials": 2,
                    "parameters": [LEARNING_RATE],
                },
                "train": {"epochs": 3},
                "prune": {
                    "amount": {"ratio": 0.25},
                    "schedule": {"steps": 1},
                    "finetune": {"epochs": 1},
                },
                "quantize": {"calibration": {"samples": 64}},
                "benchmark": {"repeats": 10},
            },
            **spec,
        },
    }
    return parse_job(document)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job") / "run"
    report, _ = run(make_job(), folder)
    assert condition(report, ConditionType.COMPLETE) == ("True", "Finished")
    return folder


def test_a_job_leaves_a_smaller_measured_model_and_its_report(finished: Path) -> None:
    report = RunReport.model_validate_json((finished / "report.json").read_bytes())
    assert report.status.result is not None
    shipped = next(c for c in report.candidates if c.id == report.status.result.candidate)
    dense = report.candidates[0]
    assert report.baseline is not None
    assert (finished / report.baseline.artifact).is_file()
    assert (finished / shipped.artifact).is_file()
    assert shipped.metrics["size_mib@edge"] < dense.metrics["size_mib@edge"] / 2
    assert dense.metrics["accuracy"] - shipped.metrics["accuracy"] <= 0.05
    assert shipped.metrics["latency_p50_ms@edge"] > 0
    assert [stage.state for stage in report.status.stages] == ["Succeeded"] * 6
    assert "<html" in (finished / "report.html").read_text()


def test_the_reported_accuracy_is_that_of_the_file_alone(finished: Path) -> None:
    """Anyone can repeat the figure with the file and ONNX Runtime."""
    report = json.loads((finished / "report.json").read_text())
    result = report["status"]["result"]
    session = onnxruntime.InferenceSession(finished / result["artifact"])
    images, labels = load_digits(return_X_y=True)
    decoded = (images / 16).reshape(-1, 1, 8, 8).astype("float32")
    (scores,) = session.run(None, {"input": decoded})
    assert (scores.argmax(axis=1) == labels).mean() > result["value"] - 0.05


def test_f57_a_finished_folder_is_printed_and_runs_nothing(finished: Path) -> None:
    before = (finished / "report.json").read_bytes()
    _, recorder = run(make_job(), finished)
    assert recorder.events == []
    assert (finished / "report.json").read_bytes() == before


def test_f57_a_changed_immutable_field_is_refused_with_both_fingerprints(finished: Path) -> None:
    before = json.loads((finished / "report.json").read_text())["fingerprint"]
    with pytest.raises(StudyMismatchError, match=before[:12]) as caught:
        run(make_job(seed=5), finished)
    assert "spec.seed was 0 and is 5" in str(caught.value)
    assert "--fresh" in str(caught.value)


def test_f57_a_killed_run_goes_on_with_its_study(tmp_path: Path) -> None:
    """SIGKILL after the second trial: nothing finished is lost, nothing is left running."""
    folder, manifest = tmp_path / "run", tmp_path / "job.json"
    job = make_search_job(search={"numTrials": 4})
    manifest.write_text(job.model_dump_json(by_alias=True, exclude_none=True))
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    command = [sys.executable, str(script), str(manifest), str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, timeout=200)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    stored = [json.loads(line)["record"] for line in (folder / "trials").read_text().splitlines()]
    before = [record["trial"]["number"] for record in stored[1:]]
    assert before == [0, 1]
    report, recorder = run(job, folder)
    assert condition(report, ConditionType.COMPLETE) == ("True", "Finished")
    assert recorder.trials == [2, 3]
    assert report.status.attempt == 2
    assert [trial.number for trial in report.trials] == [0, 1, 2, 3]


KILLED = """
import os, signal, sys
from pathlib import Path
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_trainer.pipeline import run_job
from trimtab_trainer.reporting._base import AbstractReporter, TrialEnded

class Killer(AbstractReporter):
    def publish(self, event):
        if isinstance(event, TrialEnded) and event.trial.number == 1:
            os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    folder = Path(sys.argv[2])
    job = OptimizationJob.model_validate_json(Path(sys.argv[1]).read_text())
    run_job(job, folder=folder, code_dir=folder.parent, data_root=folder.parent, fresh=False,
            reporter=Killer())
"""


def test_f65_a_model_that_raises_fails_in_preflight_and_keeps_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def build():\n    raise RuntimeError('no such layer')\n")
    job = make_job(model={"entrypoint": "broken:build"})
    report, recorder = run(job, tmp_path / "run")
    assert condition(report, ConditionType.FAILED) == ("True", "UserError")
    assert "no such layer" in (report.status.message or "")
    assert len(report.status.message or "") <= 256
    assert "RuntimeError" in next((tmp_path / "run" / "logs").iterdir()).read_text()
    assert recorder.trials == []


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match=r"thesis\.tex"):
        run(make_job(), tmp_path)


def test_no_ray_process_is_left_behind(finished: Path) -> None:
    del finished
    commands = [
        (entry / "cmdline").read_bytes()
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _parent(entry) == os.getpid()
    ]
    assert not [command for command in commands if b"raylet" in command or b"gcs_server" in command]


def _parent(process: Path) -> int:
    try:
        text = (process / "stat").read_text()
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[1])
