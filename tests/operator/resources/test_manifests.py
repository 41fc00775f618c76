"""The children of a job are what the golden files show, and keep the rules that hold for all."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from golden_manifests import CASES, build_case, read_case, render_manifests
from trimtab_api.v1alpha1.pods import EnvVar
from trimtab_operator.resources.rayjob import build_rayjob

FOLDERS = [pytest.param(folder, id=folder.name) for folder in CASES]


def find_pods(manifest: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each pod template of a manifest with the name of its container."""
    spec = manifest.get("spec", {})
    cluster = spec.get("rayClusterSpec", {})
    groups = [cluster.get("headGroupSpec", {}), *cluster.get("workerGroupSpecs", [])]
    templates = [group.get("template") for group in groups]
    for template in (*templates, spec.get("submitterPodTemplate"), spec.get("template")):
        if template is not None:
            yield template["spec"]["containers"][0]["name"], template


def pods_of(folder: Path) -> dict[str, dict[str, Any]]:
    return {name: pod for manifest in build_case(folder) for name, pod in find_pods(manifest)}


def find(folder: Path, kind: str) -> dict[str, Any]:
    return next(manifest for manifest in build_case(folder) if manifest["kind"] == kind)


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_children_are_what_the_golden_file_shows(folder: Path, golden_update: bool) -> None:
    text, golden = render_manifests(build_case(folder)), folder / "manifests.yaml"
    if golden_update:
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_child_belongs_to_the_job_and_never_holds_up_its_deletion(folder: Path) -> None:
    for manifest in build_case(folder):
        (owner,) = manifest["metadata"]["ownerReferences"]
        assert owner["controller"]
        assert not owner["blockOwnerDeletion"]
        assert "finalizers" not in manifest["metadata"]
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/managed-by"] == "trimtab-operator"
        assert labels["trimtab.dev/job-uid"] == owner["uid"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_f76_every_pod_passes_pod_security_restricted_with_a_read_only_root(folder: Path) -> None:
    pods = pods_of(folder)
    assert {"ray-head", "ray-worker", "ray-job-submitter"} <= set(pods)
    for pod in pods.values():
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"]
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["spec"]["containers"]:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert own["readOnlyRootFilesystem"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod["spec"])
        for volume in pod["spec"].get("volumes", []):
            assert "hostPath" not in volume


@pytest.mark.parametrize("folder", FOLDERS)
def test_f77_only_pods_that_report_carry_a_token(folder: Path) -> None:
    carrying = {
        name for name, pod in pods_of(folder).items() if pod["spec"]["automountServiceAccountToken"]
    }
    assert carrying <= {"ray-head", "measure"}
    assert "ray-head" in carrying


@pytest.mark.parametrize("folder", FOLDERS)
def test_f77_the_role_covers_one_config_map(folder: Path) -> None:
    role, report = find(folder, "Role"), build_case(folder)[0]["metadata"]["name"]
    assert role["rules"] == [
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": [report],
            "verbs": ["get", "patch"],
        }
    ]


@pytest.mark.parametrize("folder", FOLDERS)
def test_f75_only_pods_of_the_job_and_kuberay_reach_its_pods(folder: Path) -> None:
    policy = find(folder, "NetworkPolicy")["spec"]
    own = policy["podSelector"]
    assert own["matchLabels"]
    for pod in pods_of(folder).values():
        assert own["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert policy["policyTypes"] == ["Ingress"]
    inside, kuberay = policy["ingress"]
    assert inside == {"from": [{"podSelector": own}]}
    assert kuberay["ports"] == [{"port": 8265, "protocol": "TCP"}]
    (peer,) = kuberay["from"]
    assert peer["podSelector"]["matchLabels"] == {"app.kubernetes.io/component": "kuberay-operator"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_rayjob_starts_its_driver_once_and_always_frees_its_cluster(folder: Path) -> None:
    spec = find(folder, "RayJob")["spec"]
    assert spec["backoffLimit"] == spec["submitterConfig"]["backoffLimit"] == 0
    assert spec["submissionMode"] == "K8sJobMode"
    assert spec["shutdownAfterJobFinishes"]
    assert spec["ttlSecondsAfterFinished"] == 0
    assert spec["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert spec["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


@pytest.mark.parametrize("folder", FOLDERS)
def test_f25_suspend_is_never_written(folder: Path) -> None:
    assert "suspend" not in find(folder, "RayJob")["spec"]


def test_f25_only_labels_of_queues_reach_the_rayjob() -> None:
    (folder,) = (case for case in CASES if case.name == "everything")
    labels = find(folder, "RayJob")["metadata"]["labels"]
    assert labels["kueue.x-k8s.io/queue-name"] == "team-a"
    assert "team" not in labels
    for manifest in build_case(folder):
        if manifest["kind"] != "RayJob":
            assert "kueue.x-k8s.io/queue-name" not in manifest["metadata"]["labels"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_names_in_lists_that_have_keys_are_unique(folder: Path) -> None:
    for pod in pods_of(folder).values():
        (container,) = pod["spec"]["containers"]
        for entries, key in (
            (container.get("env", []), "name"),
            (container.get("volumeMounts", []), "mountPath"),
            (pod["spec"].get("volumes", []), "name"),
        ):
            names = [entry[key] for entry in entries]
            assert len(names) == len(set(names))


def test_a_worker_is_made_for_each_process_that_trains() -> None:
    counts = {
        folder.name: find(folder, "RayJob")["spec"]["rayClusterSpec"]["workerGroupSpecs"][0][
            "replicas"
        ]
        for folder in CASES
    }
    assert counts == {"minimal": 1, "everything": 8, "claims": 5}


def test_only_the_claim_of_the_storage_can_be_written() -> None:
    (folder,) = (case for case in CASES if case.name == "claims")
    (container,) = pods_of(folder)["ray-worker"]["spec"]["containers"]
    mounts = {mount["mountPath"]: mount.get("readOnly") for mount in container["volumeMounts"]}
    assert mounts["/var/run/trimtab/claims/runs"] is None
    assert mounts["/var/run/trimtab/claims/datasets.v2"] is True


def test_a_named_account_is_bound_and_none_is_made() -> None:
    (folder,) = (case for case in CASES if case.name == "claims")
    kinds = [manifest["kind"] for manifest in build_case(folder)]
    assert "ServiceAccount" not in kinds
    assert find(folder, "RoleBinding")["subjects"][0]["name"] == "trainers"


def test_variables_of_the_job_cannot_replace_those_of_the_operator() -> None:
    (folder,) = (case for case in CASES if case.name == "minimal")
    _, inputs = read_case(folder)
    mine = inputs.spec.cluster.model_copy(
        update={"env": (EnvVar(name="HOME", value="/root"), EnvVar(name="MINE", value="1"))}
    )
    spec = inputs.spec.model_copy(update={"cluster": mine})
    rayjob = build_rayjob(replace(inputs, spec=spec), "{}")
    pods = dict(find_pods(rayjob))
    env = {
        entry["name"]: entry.get("value")
        for entry in pods["ray-head"]["spec"]["containers"][0]["env"]
    }
    assert env["HOME"] == "/tmp/home"
    assert env["MINE"] == "1"
