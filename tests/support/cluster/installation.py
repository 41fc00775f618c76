"""The operator in a pod of tier N, installed as users do: `deploy/` by kubectl, then its image.

Whoever needs shorter times sets them with `configure_operator`, as one would with `kubectl set`.
"""

from pathlib import Path

from cluster.access import Cluster
from cluster.errors import ClusterStartError

__all__ = ["configure_operator", "install_operator", "read_operator_log"]

_DEPLOY = Path(__file__).parents[3] / "deploy"
_DEPLOYMENT = ("-n", "trimtab-system", "deployment/trimtab-operator")
_SECONDS = 120


def install_operator(cluster: Cluster, *, image: str, trainer_image: str) -> None:
    """Apply the manifests of the release with other images, and wait until the operator is up.

    Raises:
        ClusterStartError: The API server refuses them, or the operator does not start.
    """
    cluster.kubectl("apply", "--server-side", "-f", str(_DEPLOY))
    cluster.kubectl("set", "image", *_DEPLOYMENT, f"operator={image}")
    configure_operator(cluster, TRAINER_IMAGE=trainer_image)


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
