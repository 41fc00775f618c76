"""Whether everything is there that a job names: claims, Secrets, accounts, classes.

Called by `examination` with the manifests of the job's children. Of a Secret only its metadata are
asked for: what it holds is nobody's business but the kubelet's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab_cli.access import AbstractCluster, ClusterError, ForbiddenError, NotFoundError
from trimtab_cli.doctor._base import Check, CheckState
from trimtab_cli.doctor.demand import PodDemand
from trimtab_cli.rendering.structured import render_yaml

__all__ = ["check_references"]

_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_SHARED = {"ReadWriteMany", "ReadOnlyMany"}


@dataclass(frozen=True, slots=True, order=True)
class _Reference:
    kind: str
    """Singular and lower-case, as kubectl takes it."""
    name: str


_PATHS = {
    "claim": "/api/v1/namespaces/{space}/persistentvolumeclaims/",
    "secret": "/api/v1/namespaces/{space}/secrets/",
    "pull secret": "/api/v1/namespaces/{space}/secrets/",
    "configmap": "/api/v1/namespaces/{space}/configmaps/",
    "serviceaccount": "/api/v1/namespaces/{space}/serviceaccounts/",
    "priorityclass": "/apis/scheduling.k8s.io/v1/priorityclasses/",
    "runtimeclass": "/apis/node.k8s.io/v1/runtimeclasses/",
}
_REMEDIES = {
    "secret": (
        "kubectl -n {space} create secret generic {name}"
        " --from-literal=AWS_ACCESS_KEY_ID=ID --from-literal=AWS_SECRET_ACCESS_KEY=KEY"
    ),
    "pull secret": (
        "kubectl -n {space} create secret docker-registry {name}"
        " --docker-server=SERVER --docker-username=USER --docker-password=PASSWORD"
    ),
    "configmap": "kubectl -n {space} create configmap {name} --from-file=FILE",
    "serviceaccount": "kubectl -n {space} create serviceaccount {name}",
    "priorityclass": "kubectl create priorityclass {name} --value=0",
    "runtimeclass": "kubectl get runtimeclasses",
}


def check_references(
    cluster: AbstractCluster, children: Sequence[Mapping[str, Any]], pods: Sequence[PodDemand]
) -> Iterator[Check]:
    """Look for each object that the pods of a job name and that the operator does not make.

    Raises:
        ClusterError: There is no answer.
    """
    made = {child["metadata"]["name"] for child in children}
    found = {reference for pod in pods for reference in _list_references(pod.spec)}
    for reference in sorted(found):
        if reference.name not in made:
            yield from _check_one(cluster, reference)


def _check_one(cluster: AbstractCluster, reference: _Reference) -> Iterator[Check]:
    subject = f"{reference.kind} {reference.name}"
    values = {"space": cluster.namespace, "name": reference.name}
    path = _PATHS[reference.kind].format(**values) + reference.name
    is_secret = reference.kind in {"secret", "pull secret"}
    try:
        document = cluster.read(path, metadata_only=is_secret)
    except ForbiddenError as error:
        yield Check(subject, CheckState.UNKNOWN, f"cannot see whether it exists: {error}")
    except NotFoundError:
        if reference.kind == "claim":
            yield _describe_missing_claim(cluster, reference.name)
        else:
            remedy = _REMEDIES[reference.kind].format(**values)
            yield Check(subject, CheckState.FAILED, "does not exist", remedy)
    else:
        judged = _judge_claim(document) if reference.kind == "claim" else (CheckState.OK, "exists")
        look = f"kubectl -n {cluster.namespace} describe pvc {reference.name}"
        yield Check(subject, *judged, look if judged[0] is not CheckState.OK else "")


def _judge_claim(document: Mapping[str, Any]) -> tuple[CheckState, str]:
    phase = document.get("status", {}).get("phase")
    modes = set(document.get("spec", {}).get("accessModes", ()))
    if phase == "Lost":
        return CheckState.FAILED, "its volume is lost"
    if modes == {"ReadWriteOncePod"}:
        return CheckState.FAILED, "is for one pod only, and a job has several"
    if not modes & _SHARED:
        return CheckState.NOTE, "can be mounted on one node only, so all pods must fit on it"
    if phase == "Pending":
        return CheckState.NOTE, "has no volume yet; it may get one with its first pod"
    return CheckState.OK, "exists"


def _describe_missing_claim(cluster: AbstractCluster, name: str) -> Check:
    classes = _list_storage_classes(cluster)
    default = [entry for entry, is_default in classes.items() if is_default]
    claim: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": cluster.namespace},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "20Gi"}},
        },
    }
    text = "does not exist"
    if not default:
        claim["spec"]["storageClassName"] = "CLASS"
        known = ", ".join(classes) or "none that you may see"
        text += f", and the cluster has no default StorageClass (it has: {known})"
    remedy = f"kubectl apply -f - <<'END'\n{render_yaml(claim).rstrip()}\nEND"
    return Check(f"claim {name}", CheckState.FAILED, text, remedy)


def _list_storage_classes(cluster: AbstractCluster) -> dict[str, bool]:
    """Return the StorageClasses, and of each whether it is the default; none if not to be seen."""
    try:
        answer = cluster.read("/apis/storage.k8s.io/v1/storageclasses")
    except ClusterError:
        return {}
    return {
        entry["metadata"]["name"]: entry["metadata"].get("annotations", {}).get(_DEFAULT_CLASS)
        == "true"
        for entry in answer.get("items") or ()
    }


def _list_references(spec: Mapping[str, Any]) -> Iterator[_Reference]:
    for key, kind in (
        ("serviceAccountName", "serviceaccount"),
        ("priorityClassName", "priorityclass"),
        ("runtimeClassName", "runtimeclass"),
    ):
        if spec.get(key):
            yield _Reference(kind, spec[key])
    for secret in spec.get("imagePullSecrets", ()):
        yield _Reference("pull secret", secret["name"])
    for volume in spec.get("volumes", ()):
        yield from _list_of_volume(volume)
    for container in spec.get("containers", ()):
        yield from _list_of_container(container)


def _list_of_volume(volume: Mapping[str, Any]) -> Iterator[_Reference]:
    for key, name, kind in (
        ("persistentVolumeClaim", "claimName", "claim"),
        ("secret", "secretName", "secret"),
        ("configMap", "name", "configmap"),
    ):
        source = volume.get(key)
        if source and not source.get("optional"):
            yield _Reference(kind, source[name])


def _list_of_container(container: Mapping[str, Any]) -> Iterator[_Reference]:
    sources = [
        *container.get("envFrom", ()),
        *(entry.get("valueFrom") or {} for entry in container.get("env", ())),
    ]
    for source in sources:
        for key, kind in (
            ("secretRef", "secret"),
            ("secretKeyRef", "secret"),
            ("configMapRef", "configmap"),
            ("configMapKeyRef", "configmap"),
        ):
            reference = source.get(key)
            if reference and not reference.get("optional"):
                yield _Reference(kind, reference["name"])
