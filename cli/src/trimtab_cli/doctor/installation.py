"""Whether server, definition, operator and KubeRay are there.

Called by `examination`, first of all; a cluster that lacks one of them runs no job.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab_api.labels import LABEL_NAME, NAME
from trimtab_api.v1alpha1.job import API_VERSION, KIND
from trimtab_cli.access import (
    AbstractCluster,
    ConnectionFailedError,
    ForbiddenError,
    KindMissingError,
)
from trimtab_cli.doctor._base import Check, CheckState
from trimtab_cli.doctor.schema import compare_schema

__all__ = [
    "INSTALL",
    "OLDEST_MINOR",
    "OperatorDefaults",
    "check_definition",
    "check_kuberay",
    "check_operator",
    "check_server",
    "find_operator_defaults",
]

OLDEST_MINOR = 34
"""Minor version of Kubernetes 1 from which on the chart can be installed."""
_OPERATOR = f"{LABEL_NAME}={NAME},app.kubernetes.io/component=operator"
_KUBERAY = "app.kubernetes.io/component=kuberay-operator"
_OLDEST_KUBERAY = (1, 6)
INSTALL = (
    "helm upgrade --install trimtab charts/trimtab --namespace trimtab-system --create-namespace"
    " --reset-then-reuse-values"
)
"""Installs or upgrades operator and definition; a release that is there keeps its values."""
_INSTALL_KUBERAY = (
    "helm install kuberay-operator kuberay-operator"
    " --repo https://ray-project.github.io/kuberay-helm --version 1.6.2"
    " --namespace kuberay-system --create-namespace"
)
_UPGRADE_COMMAND_LINE = "git pull && make setup"
"""In a checkout, since no package is published."""
_WATCHED = "TRIMTAB_OPERATOR_WATCH_NAMESPACES"
_MOST_NAMES = 3


@dataclass(frozen=True, slots=True)
class OperatorDefaults:
    """What the operator of a cluster fills in where a job says nothing; None = not to be seen."""

    image: str | None = None
    storage: str | None = None


def check_server(cluster: AbstractCluster) -> Iterator[Check]:
    """Look whether the API server answers, and how old it is."""
    subject = "API server"
    try:
        version = cluster.read("/version")
    except (ConnectionFailedError, ForbiddenError) as error:
        yield Check(subject, CheckState.FAILED, str(error), "kubectl config get-contexts")
        return
    text = f"{version.get('gitVersion', 'unknown version')}, context {cluster.context}"
    minor = re.match(r"\d+", str(version.get("minor", "")))
    if minor and int(minor[0]) < OLDEST_MINOR:
        needed = f"Trimtab needs Kubernetes 1.{OLDEST_MINOR} or later"
        yield Check(subject, CheckState.FAILED, f"{text}: {needed}")
    else:
        yield Check(subject, CheckState.OK, text)


def check_definition(cluster: AbstractCluster) -> Iterator[Check]:
    """Look whether OptimizationJob is defined, and as this version defines it."""
    subject = "definition"
    try:
        document = cluster.read(f"/openapi/v3/apis/{API_VERSION}")
    except KindMissingError:
        text = f"{API_VERSION} {KIND} is not defined"
        yield Check(subject, CheckState.FAILED, text, INSTALL)
        return
    difference = compare_schema(_find_schema(document))
    if difference.lacking:
        text = f"older than this command line: it lacks {_name_some(difference.lacking)}"
        yield Check(subject, CheckState.FAILED, text, INSTALL)
    elif difference.additional:
        text = f"newer than this command line: it has {_name_some(difference.additional)}"
        yield Check(subject, CheckState.NOTE, text, _UPGRADE_COMMAND_LINE)
    else:
        yield Check(subject, CheckState.OK, f"{API_VERSION} {KIND}, as in this version")


def check_operator(cluster: AbstractCluster) -> Iterator[Check]:
    """Look whether an operator runs that looks after the namespace."""
    subject = "operator"
    try:
        pods = _list_pods(cluster, _OPERATOR)
    except ForbiddenError as error:
        yield _describe_hidden(subject, _OPERATOR, error)
        return
    serving = [pod for pod in pods if _is_serving(pod, cluster.namespace)]
    if pods and not serving:
        yield _describe_unserved(subject, pods, cluster.namespace)
    else:
        yield _judge_pods(subject, serving, _OPERATOR, INSTALL)


def check_kuberay(cluster: AbstractCluster) -> Iterator[Check]:
    """Look whether KubeRay is installed and runs."""
    subject = "KubeRay"
    try:
        kinds = {
            entry.get("name") for entry in cluster.read("/apis/ray.io/v1").get("resources", ())
        }
    except KindMissingError:
        kinds = set()
    if "rayjobs" not in kinds:
        yield Check(subject, CheckState.FAILED, "ray.io/v1 RayJob is not defined", _INSTALL_KUBERAY)
        return
    try:
        pods = _list_pods(cluster, _KUBERAY)
    except ForbiddenError as error:
        yield _describe_hidden(subject, _KUBERAY, error)
    else:
        yield _judge_pods(subject, pods, _KUBERAY, _INSTALL_KUBERAY, oldest=_OLDEST_KUBERAY)


def find_operator_defaults(cluster: AbstractCluster) -> OperatorDefaults:
    """Return what the namespace's operator is set to; nothing where it cannot be seen."""
    try:
        pods = _list_pods(cluster, _OPERATOR)
    except ForbiddenError:
        return OperatorDefaults()
    serving = (pod for pod in pods if _is_serving(pod, cluster.namespace))
    environment = {name: value for pod in serving for name, value in _read_environment(pod).items()}
    return OperatorDefaults(
        image=environment.get("TRIMTAB_OPERATOR_TRAINER_IMAGE"),
        storage=environment.get("TRIMTAB_OPERATOR_STORAGE_URI"),
    )


def _is_serving(pod: Mapping[str, Any], namespace: str) -> bool:
    watched = _list_watched(pod)
    return not watched or namespace in watched


def _list_watched(pod: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the namespaces that an operator looks after; none = all."""
    text = _read_environment(pod).get(_WATCHED) or ""
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _read_environment(pod: Mapping[str, Any]) -> dict[str, str | None]:
    return {
        str(entry.get("name")): entry.get("value")
        for container in pod.get("spec", {}).get("containers", ())
        for entry in container.get("env", ())
    }


def _describe_hidden(subject: str, selector: str, error: ForbiddenError) -> Check:
    look = f"kubectl get pods --all-namespaces -l {selector}"
    return Check(subject, CheckState.UNKNOWN, f"cannot see whether it runs: {error}", look)


def _describe_unserved(subject: str, pods: Sequence[Mapping[str, Any]], namespace: str) -> Check:
    """Say whom the operators look after, and how the first of them takes one more namespace."""
    names = sorted({name for pod in pods for name in _list_watched(pod)})
    metadata = pods[0].get("metadata", {})
    release = metadata.get("labels", {}).get("app.kubernetes.io/instance", "trimtab")
    watched = ",".join((*_list_watched(pods[0]), namespace))
    return Check(
        subject,
        CheckState.FAILED,
        f"no operator looks after {namespace}; those there look after {', '.join(names)}",
        f"helm upgrade {release} charts/trimtab -n {metadata.get('namespace')}"
        f" --reset-then-reuse-values --set 'watchNamespaces={{{watched}}}'",
    )


def _judge_pods(
    subject: str,
    pods: Sequence[Mapping[str, Any]],
    selector: str,
    install: str,
    *,
    oldest: tuple[int, int] | None = None,
) -> Check:
    if not pods:
        return Check(subject, CheckState.FAILED, f"no pod has the labels {selector}", install)
    ready = [pod for pod in pods if _is_ready(pod)]
    if not ready:
        metadata = pods[0].get("metadata", {})
        describe = f"kubectl -n {metadata.get('namespace')} describe pod {metadata.get('name')}"
        return Check(subject, CheckState.FAILED, "its pod is not ready", describe)
    image = str(ready[0].get("spec", {}).get("containers", [{}])[0].get("image", ""))
    version = re.search(r":v?(\d+)\.(\d+)[^/]*$", image)
    if version and oldest and (int(version[1]), int(version[2])) < oldest:
        wanted = ".".join(map(str, oldest))
        text = f"{image} runs, Trimtab is tested from {wanted} on"
        return Check(
            subject, CheckState.NOTE, text, install.replace("helm install", "helm upgrade")
        )
    return Check(subject, CheckState.OK, f"{image} runs")


def _list_pods(cluster: AbstractCluster, selector: str) -> list[dict[str, Any]]:
    return list(cluster.read(f"/api/v1/pods?labelSelector={selector}").get("items") or ())


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(
        entry.get("type") == "Ready" and entry.get("status") == "True" for entry in conditions
    )


def _find_schema(document: Mapping[str, Any]) -> Mapping[str, Any]:
    schemas: Mapping[str, Any] = document.get("components", {}).get("schemas", {})
    for schema in schemas.values():
        kinds = schema.get("x-kubernetes-group-version-kind", ())
        if any(entry.get("kind") == KIND for entry in kinds):
            return dict(schema)
    return {}


def _name_some(fields: tuple[str, ...]) -> str:
    shown = ", ".join(fields[:_MOST_NAMES])
    return shown if len(fields) <= _MOST_NAMES else f"{shown} and {len(fields) - _MOST_NAMES} more"
