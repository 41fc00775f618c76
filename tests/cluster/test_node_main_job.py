"""A job applied with kubectl runs on a real node through all six stages, and its file is as good as said.

Prometheus watches it, and every panel of the dashboards has data of it.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from typer.testing import CliRunner

from cluster.access import Cluster
from cluster.claims import make_claim
from cluster.errors import ClusterStartError
from cluster.fixtures import NamespaceMaker
from cluster.node_jobs import NodeJob, make_digits_job
from cluster.node_timeline import describe_start
from cluster.processes import wait_until
from cluster.programs import program
from cluster.prometheus import PrometheusServer, find_operator_pod, running_prometheus
from dashboard_pictures import draw_pictures
from dashboards import RULES, Seen, Span, list_alerts, list_empty_panels
from trimtab_api.v1alpha1.model import Dataset
from trimtab_cli.__main__ import app
from trimtab_trainer.data.catalog import load_dataset

pytestmark = [pytest.mark.cluster_n, pytest.mark.timeout(900)]

NODE_LABEL = "kubernetes.io/hostname"
STAGES = ["search", "train", "prune", "quantize", "export", "benchmark"]


def make_job(cluster: Cluster) -> dict[str, Any]:
    """Return a job with a target in its Ray cluster and one that a Job of its own measures."""
    node = cluster.api.list("Node")[0]["metadata"]["labels"][NODE_LABEL]
    small = {"requests": {"cpu": "10m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}}
    placed = {"nodeSelector": {NODE_LABEL: node}, "resources": small}
    targets = [
        {"name": "host", "threads": 1},
        {"name": "edge", "profile": "cpu-edge", "threads": 1, **placed},
    ]
    job = make_digits_job("digits", targets=targets)
    # A trial lasts ten seconds on the fastest machine, two reports; fp16, so that it has a loss scale.
    slow = {"seconds": 0.04, "width": 128}
    job["spec"]["model"] = {"entrypoint": "slow_network:build", "args": slow}
    train = {"epochs": 40, "batchSize": 256, "precision": {"dtype": "fp16"}}
    job["spec"]["stages"]["train"] = train
    return job


def check_workers_have_no_token(job: NodeJob) -> None:
    job.wait(lambda: job.conditions().get("ClusterReady", ("",))[0] == "True", "cluster")
    workers = job.pods("worker")
    assert len(workers) == 2
    for pod in workers:
        assert "serviceaccount" not in json.dumps(pod["spec"].get("volumes", [])).lower()
    with pytest.raises(ClusterStartError, match="No such file"):
        job.kubectl("exec", workers[0]["metadata"]["name"], "--", "ls", "/var/run/secrets")


def check_status(job: NodeJob, status: Mapping[str, Any]) -> None:
    assert [(stage["name"], stage["state"]) for stage in status["stages"]] == [
        (name, "Succeeded") for name in STAGES
    ]
    conditions = job.conditions()
    assert conditions["Accepted"] == ("True", "SpecAccepted")
    assert conditions["Complete"] == ("True", "Finished")
    assert conditions["GoalsMet"][0] in {"True", "False"}
    assert conditions.get("Degraded", ("False",))[0] == "False"
    assert status["trials"]["succeeded"] == status["trials"]["total"] == 4
    host, edge = status["targets"]
    assert host["state"] == edge["state"] == "Measured"
    assert {host["node"], edge["node"]} <= {
        node["metadata"]["name"] for node in job.cluster.api.list("Node")
    }
    assert edge["metrics"]["latency_p50_ms"] > 0


def check_what_kubectl_shows(job: NodeJob) -> None:
    header, row = job.kubectl("get", "optimizationjobs.trimtab.dev", job.name).splitlines()
    assert header.split()[:5] == ["NAME", "STATE", "STAGE", "TRIALS", "BEST"]
    assert row.split()[:4] == ["digits", "Complete", "benchmark", "4/4"]
    told = {"Accepted", "ClusterCreated", "StageStarted", "NewBest", "StageSucceeded", "Completed"}
    for reason in told:
        job.wait_for_event(reason)


def fetch(job: NodeJob, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run the commands that `trimtab fetch` prints, and return where they copy to."""
    monkeypatch.setenv("KUBECONFIG", str(job.cluster.kubeconfig))
    monkeypatch.chdir(folder)
    printed = CliRunner().invoke(app, ["fetch", job.name, "-n", job.namespace])
    assert printed.exit_code == 0, printed.output
    path = f"{program('kubectl').parent}:{os.environ['PATH']}"
    subprocess.run(
        ["sh", "-e"], input=printed.stdout, text=True, check=True, env={**os.environ, "PATH": path}
    )
    return folder / "results" / job.name


def check_artifacts(folder: Path) -> None:
    manifest = json.loads((folder / "artifacts" / "manifest.json").read_text())
    assert len(manifest["artifacts"]) >= 3
    for entry in manifest["artifacts"]:
        assert not entry["companions"]
        content = (folder / "artifacts" / entry["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]


def measure_accuracy(path: Path) -> float:
    """Return the share of the digits' validation split that a file gets right."""
    data = load_dataset(Dataset(builtin="digits"), seed=0, code_dir=None, data_root=Path())
    images, labels = data.validation.batch(torch.arange(len(data.validation)))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    return float(np.mean(np.argmax(scores, axis=1) == labels.numpy()))


def check_dashboards(server: PrometheusServer, seen: Seen, folder: Path) -> None:
    """Check that all panels have data and no rule fails; the pictures in the documents are of this."""
    assert not list_empty_panels(server, seen)
    rules = server.list_rules()
    assert {rule["alert"] for rule in list_alerts()} == set(rules)
    for name, rule in rules.items():
        assert rule["health"] == "ok", rule
        assert rule["state"] != "firing" or name == "TrimtabConstraintMissed", rule
    for path in draw_pictures(server, seen, folder):
        assert path.stat().st_size < 300_000


def test_f76_f77_a_job_runs_all_six_stages_and_its_file_is_as_good_as_said(
    node_operator: Cluster,
    make_namespace: NamespaceMaker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = make_namespace(node_operator, labels)
    claim = make_claim(node_operator, namespace, "runs")
    address = find_operator_pod(node_operator)
    with running_prometheus(tmp_path / "prometheus", address, RULES) as server:
        start = time.time()
        job = NodeJob.apply(node_operator, namespace, make_job(node_operator))
        check_workers_have_no_token(job)
        status = job.wait_for_end()
        ended = "count_over_time(trimtab_result_metric[1m]) > 9"
        assert wait_until(lambda: bool(server.ask(ended)), 60)
        seen = Seen(Span(start, time.time()), namespace, job.name)
        check_dashboards(server, seen, tmp_path / "pictures")
    with capsys.disabled():
        sys.stdout.write(describe_start(job))
    assert wait_until(lambda: not node_operator.api.list("RayCluster", namespace), 60)
    check_status(job, status)
    check_what_kubectl_shows(job)
    if claim is not None:
        assert sorted(trial["number"] for trial in job.read_trials(claim, 1)) == [0, 1, 2, 3]
    results = fetch(job, tmp_path, monkeypatch)
    check_artifacts(results)
    assert (results / "report.html").stat().st_size > 10_000
    result = status["result"]
    assert measure_accuracy(results / result["artifact"]) == pytest.approx(result["value"])
    told = CliRunner().invoke(app, ["status", job.name, "-n", namespace])
    assert told.exit_code == (0 if job.conditions()["GoalsMet"][0] == "True" else 3), told.output
    assert wait_until(lambda: not job.pods("worker") and not job.pods("head"), 60)
