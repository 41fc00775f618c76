"""A pod of somebody else that knocks at every door of a Ray head, with no token and with a wrong one.

What it runs is `pod_code/knock.py`, from the trainer's image, which has a client for each protocol.
"""

import json
from dataclasses import dataclass
from typing import Any

from cluster.access import Cluster
from cluster.api import Manifest
from cluster.processes import wait_until

__all__ = ["Answers", "send_intruder"]

_SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class Answers:
    """What was answered, by door.

    Attributes:
        http: `GET 8265 /path` → status.
        wrong: The same where a wrong token was shown.
        grpc: `6379 /service/method` → name of the status.
    """

    http: dict[str, int]
    wrong: dict[str, int]
    grpc: dict[str, str]


def send_intruder(
    cluster: Cluster, namespace: str, image: str, *, host: str, paths: dict[int, list[str]]
) -> Answers:
    """Knock from a pod of another namespace, and return what was answered.

    Args:
        cluster: Of tier N.
        namespace: Of the intruder.
        image: The trainer's.
        host: Address of the head.
        paths: Port → paths to get.

    Raises:
        AssertionError: The pod does not end well.
    """
    request = json.dumps({"host": host, "paths": paths})
    cluster.api.create(_make_pod(namespace, image, request))

    def read_phase() -> str:
        return str(cluster.api.get("Pod", "intruder", namespace)["status"].get("phase"))

    ended = wait_until(lambda: read_phase() in {"Succeeded", "Failed"}, _SECONDS)
    said = cluster.kubectl("-n", namespace, "logs", "intruder") if ended else "no end"
    assert read_phase() == "Succeeded", said
    answers: dict[str, Any] = json.loads(said.splitlines()[-1])
    return Answers(**answers)


def _make_pod(namespace: str, image: str, request: str) -> Manifest:
    security: Manifest = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "intruder", "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "knock",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python", "-m", "knock", request],
                    "securityContext": security,
                }
            ],
        },
    }
