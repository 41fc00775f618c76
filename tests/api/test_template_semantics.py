"""A pod's template takes what places it and mounts data, and names the key of anything else."""

from typing import Any

import pytest

from manifest_edits import edit_manifest
from trimtab_api.findings import InvalidJobError, render_path
from trimtab_api.validation import parse_job

WORKERS = "spec.cluster.workers.template"
CLAIM = {"name": "data", "persistentVolumeClaim": {"claimName": "flowers"}}
MOUNT = {"name": "data", "mountPath": "/data"}


def find_errors(template: Any, group: str = "workers") -> dict[str, str]:
    with pytest.raises(InvalidJobError) as caught:
        parse_job(edit_manifest({f"spec.cluster.{group}.template": template}))
    return {render_path(finding.path): finding.expectation for finding in caught.value.findings}


def test_what_places_a_pod_and_mounts_data_is_taken() -> None:
    template = {
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}},
        "topologySpreadConstraints": [{"maxSkew": 1}],
        "runtimeClassName": "nvidia",
        "labels": {"team": "vision"},
        "annotations": {"sidecar.istio.io/inject": "false"},
        "volumes": [
            CLAIM,
            {"name": "settings", "configMap": {"name": "settings"}},
            {"name": "keys", "secret": {"secretName": "keys"}},
            {"name": "scratch", "emptyDir": {"sizeLimit": "10Gi"}},
        ],
        "volumeMounts": [MOUNT, {"name": "keys", "mountPath": "/etc/keys", "readOnly": True}],
    }
    job = parse_job(edit_manifest({f"{WORKERS}": template}))
    assert job.spec.cluster.workers.template == template


@pytest.mark.parametrize(
    ("template", "key"),
    [
        ({"serviceAccountName": "admin"}, "serviceAccountName"),
        ({"automountServiceAccountToken": True}, "automountServiceAccountToken"),
        ({"hostNetwork": True}, "hostNetwork"),
        ({"hostPID": True}, "hostPID"),
        ({"securityContext": {"runAsUser": 0}}, "securityContext"),
        ({"containers": []}, "containers"),
        ({"spec": {"hostNetwork": True}}, "spec"),
        ({"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}, "volumes[0].hostPath"),
        ({"volumes": [{"name": "a", "projected": {"sources": []}}]}, "volumes[0].projected"),
        ({"volumes": [{"name": "a", "csi": {"driver": "x"}}]}, "volumes[0].csi"),
        ({"affinity": {"nodes": {}}}, "affinity.nodes"),
        (
            {"volumes": [CLAIM], "volumeMounts": [{**MOUNT, "mountPropagation": "Bidirectional"}]},
            "volumeMounts[0].mountPropagation",
        ),
    ],
)
@pytest.mark.parametrize("group", ["head", "workers"])
def test_f35_what_loosens_security_is_refused_by_the_name_of_its_key(
    template: Any, key: str, group: str
) -> None:
    found = find_errors(template, group)
    assert found[f"spec.cluster.{group}.template.{key}"].startswith("is not allowed here; allowed:")


@pytest.mark.parametrize(
    ("template", "path", "words"),
    [
        ({"affinity": []}, "affinity", "must be a mapping"),
        ({"topologySpreadConstraints": {}}, "topologySpreadConstraints", "must be a list"),
        ({"runtimeClassName": 3}, "runtimeClassName", "must be a name"),
        ({"labels": ["a"]}, "labels", "must be a mapping"),
        ({"labels": {"a": 1}}, "labels.a", "must be a string"),
        ({"labels": {"trimtab.dev/job": "b"}}, "labels.trimtab.dev/job", "must not be set"),
        ({"annotations": {"ray.io/x": "b"}}, "annotations.ray.io/x", "must not be set"),
        ({"volumes": CLAIM}, "volumes", "must be a list of mappings"),
        ({"volumes": [CLAIM, CLAIM]}, "volumes[0].name", "must be unique"),
        ({"volumes": [{"emptyDir": {}}]}, "volumes[0].name", "must be a name"),
        ({"volumes": [{"name": "trimtab-x", "emptyDir": {}}]}, "volumes[0].name", "begin with"),
        ({"volumes": [{"name": "a"}]}, "volumes[0]", "must have exactly one of"),
        ({"volumes": [{"name": "a", "secret": "b"}]}, "volumes[0].secret", "must be a mapping"),
        ({"volumeMounts": 3}, "volumeMounts", "must be a list of mappings"),
        ({"volumeMounts": [MOUNT]}, "volumeMounts[0].name", "must be the name of a volume"),
        (
            {"volumes": [CLAIM], "volumeMounts": [{"name": "data"}]},
            "volumeMounts[0].mountPath",
            "must be an absolute path",
        ),
    ],
)
def test_a_part_of_the_wrong_shape_is_named(template: Any, path: str, words: str) -> None:
    assert words in find_errors(template)[f"{WORKERS}.{path}"]


@pytest.mark.parametrize(
    "folder",
    ["/", "/tmp", "/run/cache", "/etc/trimtab/", "/var", "/var/run/secrets", "/data/../tmp"],
)
def test_what_pods_have_mounted_cannot_be_covered(folder: str) -> None:
    found = find_errors({"volumes": [CLAIM], "volumeMounts": [{**MOUNT, "mountPath": folder}]})
    assert found[f"{WORKERS}.volumeMounts[0].mountPath"].startswith("must not lie in or above")


def test_a_template_has_a_largest_size() -> None:
    (found,) = find_errors({"annotations": {"note": "x" * 16384}}).items()
    assert found == (WORKERS, "must have at most 16384 bytes as JSON")
