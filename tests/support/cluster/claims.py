"""Persistent volume claims of tier N: folders of this machine, or the default class elsewhere."""

from pathlib import Path

from cluster.access import Cluster
from cluster.api import Manifest
from cluster.existing import given_kubeconfig

__all__ = ["make_claim", "make_volume"]


def make_claim(cluster: Cluster, namespace: str, name: str) -> Path | None:
    """Make a claim and, on the tests' own node, its volume; any user may write in it.

    Args:
        cluster: A cluster of tier N.
        namespace: Namespace of the claim.
        name: Its name.

    Returns:
        The folder behind the claim, or None where the cluster is not on this machine.
    """
    folder = make_volume(cluster, namespace, name)
    spec: Manifest = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    }
    if folder is not None:
        spec |= {"storageClassName": "", "volumeName": f"{namespace}-{name}"}
    cluster.api.create(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        }
    )
    return folder


def make_volume(cluster: Cluster, namespace: str, claim: str) -> Path | None:
    """Make the volume of a claim on the tests' own node; elsewhere the default class makes it.

    Args:
        cluster: A cluster of tier N.
        namespace: Namespace of the claim.
        claim: Its name. It may ask for this volume, or for any.

    Returns:
        The folder behind the volume, or None where the cluster is not on this machine.
    """
    if given_kubeconfig() is not None:
        return None
    folder = cluster.folder / "claims" / namespace / claim
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    cluster.api.create(_describe_volume(namespace, claim, folder))
    return folder


def _describe_volume(namespace: str, claim: str, folder: Path) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{namespace}-{claim}"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": namespace, "name": claim},
            "hostPath": {"path": str(folder), "type": "Directory"},
        },
    }
