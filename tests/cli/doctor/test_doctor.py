"""`trimtab doctor` names what is missing, each with the command that mends it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from cluster_objects import (
    DEFINITION,
    KUBERAY_PODS,
    OPERATOR_PODS,
    make_node,
    make_operator_pod,
    make_published,
    prepare_cluster,
)
from command_line import RunCommand, WriteManifest
from small_api import Refusal, SmallApi, make_refusal
from source_tree import ROOT
from trimtab_cli.doctor.installation import INSTALL, OLDEST_MINOR

STORED: dict[str, Any] = {"storage": {"uri": "s3://runs", "secretRef": {"name": "s3"}}}
SPACE = "/api/v1/namespaces/vision"


def find(output: str, subject: str) -> dict[str, str]:
    """Return the one finding about something."""
    (found,) = [entry for entry in json.loads(output) if entry["subject"] == subject]
    return dict(found)


def test_a_cluster_that_has_everything_is_fine(trimtab: RunCommand, api: SmallApi) -> None:
    prepare_cluster(api)

    result = trimtab("doctor")

    assert result.exit_code == 0, result.output
    assert {line.split()[0] for line in result.stdout.splitlines()} == {"ok"}
    assert "API server: v1.36.3, context test" in result.stdout


def test_the_command_that_mends_it_stands_below(trimtab: RunCommand, api: SmallApi) -> None:
    prepare_cluster(api)
    api.add(OPERATOR_PODS, {"items": []})

    result = trimtab("doctor")

    assert result.exit_code == 5
    lines = result.stdout.splitlines()
    (index,) = [number for number, line in enumerate(lines) if line.startswith("failed")]
    assert lines[index + 1].strip() == INSTALL


Change = Callable[[SmallApi], None]


def drop_definition(api: SmallApi) -> None:
    api.add(DEFINITION, Refusal(404, "404 page not found"))


def age_definition(api: SmallApi) -> None:
    document = make_published()
    kind = document["components"]["schemas"]["dev.trimtab.OptimizationJob"]
    del kind["properties"]["spec"]["properties"]["storage"]
    api.add(DEFINITION, document)


def extend_definition(api: SmallApi) -> None:
    document = make_published()
    kind = document["components"]["schemas"]["dev.trimtab.OptimizationJob"]
    kind["properties"]["spec"]["properties"]["weather"] = {"type": "string"}
    api.add(DEFINITION, document)


def drop_kuberay(api: SmallApi) -> None:
    api.add("/apis/ray.io/v1", Refusal(404, "404 page not found"))


def break_kuberay(api: SmallApi) -> None:
    api.add(KUBERAY_PODS, {"items": [make_operator_pod("kuberay:v1.6.2", ready=False)]})


def age_kuberay(api: SmallApi) -> None:
    api.add(KUBERAY_PODS, {"items": [make_operator_pod("quay.io/kuberay/operator:v1.5.1")]})


def hide_pods(api: SmallApi) -> None:
    api.add(OPERATOR_PODS, make_refusal(403, "pods is forbidden"))


def deny_jobs(api: SmallApi) -> None:
    api.denied |= {"create optimizationjobs", "patch optimizationjobs"}


def deny_logs(api: SmallApi) -> None:
    api.denied.add("get pods/log")


def deny_copying(api: SmallApi) -> None:
    api.denied |= {"create pods", "delete pods", "create pods/exec"}


def drop_namespace(api: SmallApi) -> None:
    api.add(SPACE, make_refusal(404, "not found", name="vision"))


def age_server(api: SmallApi) -> None:
    api.add("/version", {"gitVersion": "v1.33.4", "minor": "33+"})


def close_server(api: SmallApi) -> None:
    api.add("/version", make_refusal(401, "Unauthorized"))


@pytest.mark.parametrize(
    ("change", "state", "text", "remedy"),
    [
        (drop_definition, "failed", "is not defined", INSTALL),
        (age_definition, "failed", "it lacks spec.storage", INSTALL),
        (extend_definition, "note", "it has spec.weather", "git pull && make setup"),
        (drop_kuberay, "failed", "ray.io/v1 RayJob is not defined", "helm install kuberay"),
        (break_kuberay, "failed", "its pod is not ready", "describe pod operator-0"),
        (age_kuberay, "note", "tested from 1.6 on", "helm upgrade kuberay-operator"),
        (hide_pods, "unknown", "pods is forbidden", "kubectl get pods --all-namespaces"),
        (deny_jobs, "failed", "you may not create, patch", "create rolebinding trimtab-user"),
        (deny_logs, "note", "you may not get pods/log", "--clusterrole=view"),
        (
            deny_copying,
            "note",
            "you may not create pods, delete pods, create pods/exec in vision, which `trimtab fetch`",
            "create role trimtab-fetch --verb=create,get,list,watch,delete --resource=pods,pods/exec",
        ),
        (drop_namespace, "failed", "vision does not exist", "kubectl create namespace vision"),
        (age_server, "failed", "v1.33.4, context test: Trimtab needs Kubernetes 1.34 or later", ""),
        (close_server, "failed", "does not know these credentials", "get-contexts"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_each_thing_that_is_missing_is_named(
    trimtab: RunCommand,
    api: SmallApi,
    change: Change,
    *,
    state: str,
    text: str,
    remedy: str,
) -> None:
    prepare_cluster(api)
    change(api)

    result = trimtab("doctor", "-o", "json")

    (found,) = [entry for entry in json.loads(result.stdout) if entry["state"] != "ok"]
    assert found["state"] == state
    assert text in found["text"]
    assert remedy in found["remedy"]
    assert result.exit_code == (5 if state == "failed" else 0)


def make_watching_pod(namespaces: str, **environment: str) -> dict[str, Any]:
    watched = {"TRIMTAB_OPERATOR_WATCH_NAMESPACES": namespaces, **environment}
    return make_operator_pod("trimtab-operator:0.1.0", environment=watched)


def test_a_namespace_that_no_operator_looks_after_is_named(
    trimtab: RunCommand, api: SmallApi
) -> None:
    prepare_cluster(api)
    pods = [make_watching_pod("speech, text"), make_watching_pod("audio")]
    api.add(OPERATOR_PODS, {"items": pods})

    result = trimtab("doctor", "-o", "json")

    assert result.exit_code == 5
    found = find(result.stdout, "operator")
    assert found["state"] == "failed"
    assert found["text"] == (
        "no operator looks after vision; those there look after audio, speech, text"
    )
    assert found["remedy"] == (
        "helm upgrade tuning charts/trimtab -n trimtab-system --reset-then-reuse-values"
        " --set 'watchNamespaces={speech,text,vision}'"
    )


@pytest.mark.parametrize("namespaces", ["", "vision", "speech, vision"])
def test_an_operator_of_the_namespace_or_of_all_is_fine(
    trimtab: RunCommand, api: SmallApi, namespaces: str
) -> None:
    prepare_cluster(api, TRIMTAB_OPERATOR_WATCH_NAMESPACES=namespaces)

    assert find(trimtab("doctor", "-o", "json").stdout, "operator")["state"] == "ok"


def test_only_an_operator_of_the_namespace_counts(
    trimtab: RunCommand, api: SmallApi, write_manifest: WriteManifest
) -> None:
    """Neither the state nor the storage of another one says anything."""
    prepare_cluster(api)
    own = make_watching_pod("vision", TRIMTAB_OPERATOR_STORAGE_URI="pvc://shared")
    own["status"] = {}
    other = make_watching_pod("speech", TRIMTAB_OPERATOR_STORAGE_URI="pvc://others")
    api.add(OPERATOR_PODS, {"items": [own, other]})

    result = trimtab("doctor", "-f", write_manifest(), "-o", "json")

    assert find(result.stdout, "operator")["text"] == "its pod is not ready"
    assert find(result.stdout, "claim shared")["state"] == "failed"
    assert "claim others" not in result.stdout


def test_doctor_and_the_chart_need_the_same_kubernetes() -> None:
    chart = YAML(typ="safe").load(ROOT / "charts" / "trimtab" / "Chart.yaml")

    assert chart["kubeVersion"] == f">=1.{OLDEST_MINOR}.0-0"


def test_a_kubeconfig_that_is_missing_ends_with_one_line(
    trimtab: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))

    result = trimtab("doctor")

    assert result.exit_code == 5
    assert "needs a kubeconfig" in result.stderr


def test_nothing_is_written(
    trimtab: RunCommand, api: SmallApi, write_manifest: WriteManifest
) -> None:
    prepare_cluster(api)

    trimtab("doctor", "-f", write_manifest(**STORED))

    writes = [entry for entry in api.asked if not entry.startswith("GET ")]
    assert {entry.rpartition("/")[2] for entry in writes} == {"selfsubjectaccessreviews"}


def test_what_a_job_names_must_be_there(
    trimtab: RunCommand, api: SmallApi, write_manifest: WriteManifest
) -> None:
    prepare_cluster(api)
    api.add("/apis/storage.k8s.io/v1/storageclasses", {"items": [{"metadata": {"name": "nfs"}}]})
    cluster = {
        "serviceAccountName": "runner",
        "priorityClassName": "high",
        "imagePullSecrets": [{"name": "pull"}],
    }
    path = write_manifest(
        dataset={"imageFolder": "pvc://flowers/jpg", "imageSize": 32}, cluster=cluster, **STORED
    )

    result = trimtab("doctor", "-f", path, "-o", "json")

    assert result.exit_code == 5
    claim = find(result.stdout, "claim flowers")
    assert "has no default StorageClass (it has: nfs)" in claim["text"]
    assert "storageClassName: CLASS" in claim["remedy"]
    for subject, remedy in {
        "secret s3": "kubectl -n vision create secret generic s3 --from-literal=AWS_ACCESS_KEY_ID",
        "pull secret pull": "kubectl -n vision create secret docker-registry pull",
        "serviceaccount runner": "kubectl -n vision create serviceaccount runner",
        "priorityclass high": "kubectl create priorityclass high",
    }.items():
        assert find(result.stdout, subject)["text"] == "does not exist"
        assert find(result.stdout, subject)["remedy"].startswith(remedy)


def test_what_the_operator_makes_itself_is_not_missed(
    trimtab: RunCommand, api: SmallApi, write_manifest: WriteManifest
) -> None:
    prepare_cluster(api)
    api.add(f"{SPACE}/secrets/s3", {})

    result = trimtab("doctor", "-f", write_manifest(**STORED))

    assert result.exit_code == 0, result.output
    assert "digits-progress" not in result.stdout
    assert "secret s3: exists" in result.stdout


def test_of_a_secret_nothing_but_its_metadata_is_read(
    trimtab: RunCommand, api: SmallApi, write_manifest: WriteManifest
) -> None:
    prepare_cluster(api)

    trimtab("doctor", "-f", write_manifest(**STORED))

    asked = dict(zip([e for e in api.asked if e.startswith("GET ")], api.accepted, strict=True))
    assert "PartialObjectMetadata" in asked[f"GET {SPACE}/secrets/s3"]


@pytest.mark.parametrize(
    ("spec", "phase", "state", "text"),
    [
        (["ReadWriteMany"], "Bound", "ok", "exists"),
        (["ReadWriteOnce"], "Bound", "note", "one node only"),
        (["ReadWriteOncePod"], "Bound", "failed", "one pod only"),
        (["ReadWriteMany"], "Pending", "note", "no volume yet"),
        (["ReadWriteMany"], "Lost", "failed", "lost"),
    ],
)
def test_a_claim_is_judged_by_its_modes_and_its_phase(
    trimtab: RunCommand,
    api: SmallApi,
    write_manifest: WriteManifest,
    *,
    spec: list[str],
    phase: str,
    state: str,
    text: str,
) -> None:
    prepare_cluster(api)
    claim = {"spec": {"accessModes": spec}, "status": {"phase": phase}}
    api.add(f"{SPACE}/persistentvolumeclaims/data", claim)
    path = write_manifest(storage={"uri": "pvc://data/runs"})

    found = find(trimtab("doctor", "-f", path, "-o", "json").stdout, "claim data")

    assert found["state"] == state
    assert text in found["text"]


def test_workers_must_find_nodes(
    trimtab: RunCommand, api: SmallApi, write_manifest: WriteManifest
) -> None:
    prepare_cluster(api)
    api.add(f"{SPACE}/secrets/s3", {})
    api.add("/api/v1/nodes", {"items": [make_node(gpu="1")]})
    workers = {"resources": {"limits": {"nvidia.com/gpu": 1}}}
    path = write_manifest(cluster={"workers": workers}, **STORED)

    result = trimtab("doctor", "-f", path, "-o", "json")

    assert result.exit_code == 5
    assert find(result.stdout, "nodes for head")["state"] == "ok"
    found = find(result.stdout, "nodes for workers")
    assert found["text"].startswith("2 wanted with nvidia.com/gpu 1 each, but 1 node can take 1")


@pytest.mark.parametrize(
    ("operator", "state"),
    [
        ({}, "failed"),
        ({"TRIMTAB_OPERATOR_STORAGE_URI": "pvc://shared"}, None),
    ],
    ids=["none", "operators"],
)
def test_a_job_without_storage_needs_the_operators(
    trimtab: RunCommand,
    api: SmallApi,
    write_manifest: WriteManifest,
    operator: dict[str, str],
    state: str | None,
) -> None:
    prepare_cluster(api, **operator)

    checks = json.loads(trimtab("doctor", "-f", write_manifest(), "-o", "json").stdout)

    states = {entry["subject"]: entry["state"] for entry in checks}
    assert states.get("storage") == state
    assert ("claim shared" in states) == bool(operator)


def test_what_the_user_may_not_see_is_unknown_and_not_wrong(
    trimtab: RunCommand, api: SmallApi, write_manifest: WriteManifest
) -> None:
    prepare_cluster(api)
    for path in ("/api/v1/nodes", f"{SPACE}/secrets/s3", OPERATOR_PODS):
        api.add(path, make_refusal(403, "you may not look"))

    result = trimtab("doctor", "-f", write_manifest(**STORED), "-o", "json")

    assert result.exit_code == 0
    unknown = [e["subject"] for e in json.loads(result.stdout) if e["state"] == "unknown"]
    assert unknown == ["operator", "secret s3", "nodes"]


def test_an_invalid_manifest_is_not_looked_at(
    trimtab: RunCommand, api: SmallApi, write_manifest: WriteManifest
) -> None:
    result = trimtab("doctor", "-f", write_manifest(seed=-1))

    assert result.exit_code == 2
    assert "spec.seed" in result.stderr
    assert api.asked == []
