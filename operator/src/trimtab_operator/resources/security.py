"""What every pod of a job has in common for its safety: Pod Security `restricted` and more.

KubeRay copies the worker's container context to its init container; submitter pods get theirs
from the same functions. The root file system is read-only, so each pod brings its temporary one.
"""

from typing import Any

__all__ = [
    "GRACE_SECONDS",
    "HOME",
    "OWN_VOLUMES",
    "build_container_security",
    "build_pod_security",
    "build_scratch_mounts",
    "build_scratch_volumes",
]

OWN_VOLUMES = "trimtab-"
"""Before the name of each volume that is not the user's."""
_TEMPORARY = "tmp"
"""The folder under the root that can be written."""
HOME = f"/{_TEMPORARY}/home"
_USER = 1000

GRACE_SECONDS = 10
"""Until a pod that was asked to end is killed, where it has nothing to store first."""


def build_pod_security() -> dict[str, Any]:
    """Return the security context of a pod."""
    return {
        "runAsNonRoot": True,
        "runAsUser": _USER,
        "runAsGroup": _USER,
        "fsGroup": _USER,
        # Changing the owner of every file of a large claim would take minutes.
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def build_container_security() -> dict[str, Any]:
    """Return the security context of a container."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def build_scratch_volumes() -> list[dict[str, Any]]:
    """Return the volumes that can be written and go with the pod; Ray's temporary files too."""
    return [{"name": f"{OWN_VOLUMES}{name}", "emptyDir": {}} for name in (_TEMPORARY, "home")]


def build_scratch_mounts() -> list[dict[str, Any]]:
    """Return where they are mounted, the outer folder first."""
    return [
        {"name": f"{OWN_VOLUMES}{_TEMPORARY}", "mountPath": f"/{_TEMPORARY}"},
        {"name": f"{OWN_VOLUMES}home", "mountPath": HOME},
    ]
