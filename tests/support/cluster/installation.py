"""The operator in a pod of tier N, installed as users do: by `helm install` of its chart.

Whoever needs shorter times sets them with `configure_operator`, as one would with `kubectl set`.
"""

import json
from typing import Any

from cluster.access import Cluster
from cluster.errors import ClusterStartError
from helm_chart import CHART, NAMESPACE, RELEASE, HelmError, run_helm

__all__ = [
    "configure_operator",
    "image_values",
    "install_operator",
    "is_installed",
    "read_operator_log",
    "remove_operator",
]

_DEPLOYMENT = ("-n", NAMESPACE, "deployment/trimtab-operator")
_SECONDS = 120
_WAIT = ("--wait", f"--timeout={_SECONDS}s")


def is_installed(cluster: Cluster) -> bool:
    """Return whether there is a release."""
    releases = run_helm("list", "--namespace", NAMESPACE, "--short", cluster=cluster)
    return RELEASE in releases.split()


def install_operator(cluster: Cluster, *, image: str, trainer_image: str) -> None:
    """Install the chart with these images, and wait until the operator is up.

    A definition that is there already becomes the release's.

    Raises:
        ClusterStartError: The API server refuses it, or the operator does not start; with the end
            of its log.
    """
    place = ("--namespace", NAMESPACE, "--create-namespace", "--take-ownership")
    values = json.dumps(image_values(image, trainer_image))
    install = ("install", RELEASE, str(CHART), *place, *_WAIT, "--values", "-")
    try:
        run_helm(*install, cluster=cluster, text=values)
    except HelmError as error:
        raise ClusterStartError(f"{error}: {read_operator_log(cluster)}") from error


def remove_operator(cluster: Cluster) -> None:
    """Uninstall the release if there is one; the definition stays, as by default."""
    place = ("--namespace", NAMESPACE, "--ignore-not-found")
    run_helm("uninstall", RELEASE, *place, *_WAIT, cluster=cluster)


def image_values(image: str, trainer_image: str) -> dict[str, Any]:
    """Return the values of the chart that name these images."""
    return {"image": _split(image), "trainerImage": _split(trainer_image)}


def configure_operator(cluster: Cluster, **settings: str) -> None:
    """Change settings of the operator and wait until one with them is up.

    Args:
        cluster: Where it is installed.
        settings: Names as in its environment, without their prefix.

    Raises:
        ClusterStartError: It does not start; with the end of its log.
    """
    changes = [f"TRIMTAB_OPERATOR_{name}={value}" for name, value in settings.items()]
    cluster.kubectl("set", "env", *_DEPLOYMENT, *changes)
    try:
        cluster.kubectl("rollout", "status", *_DEPLOYMENT, f"--timeout={_SECONDS}s")
    except ClusterStartError as error:
        raise ClusterStartError(f"{error}: {read_operator_log(cluster)}") from error


def read_operator_log(cluster: Cluster) -> str:
    """Return the end of the operator's log."""
    return cluster.kubectl("logs", *_DEPLOYMENT, "--tail=30")


def _split(image: str) -> dict[str, str]:
    name, _, digest = image.partition("@")
    repository, _, tag = name.rpartition(":")
    return {"repository": repository, "tag": tag, "digest": digest}
