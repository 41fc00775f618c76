"""Persistent volume claims of tier N: folders of this machine, or the default class elsewhere."""

from pathlib import Path

from cluster.access import Cluster
from cluster.api import Manifest
from cluster.existing import given_kubeconfig

__all__ = ["make_claim"]


def make_claim(cluster: Cluster, namespace: str, name: str) -> Path | None:
    """Make a claim and, on the tests' own node, its volume; any user may write in it.

    Args:
        cluster: A cluster of tier N.
        namespace: Namespace of the claim.
        name: Its name.

    Returns:
        The folder behind the claim, or None where the cluster is not on this machine.
    """
    on_this_machine = given_kubeconfig() is None
    folder = cluster.folder / "claims" / namespace / name
    spec: Manifest = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    }
    if on_this_machine:
        folder.mkdir(parents=True)
        folder.chmod(0o777)
        volume = f"{namespace}-{name}"
        cluster.api.create(_make_volume(volume, folder))
        spec |= {"storageClassName": "", "volumeName": volume}
    cluster.api.create(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        }
    )
    return folder if on_this_machine else None


def _make_volume(name: str, folder: Path) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(folder), "type": "Directory"},
        },
    }
