"""The trainer's image, built from its Dockerfile, holds what it needs and no more, and runs without rights."""

import json

import pytest

from cluster.access import Cluster
from cluster.fixtures import NamespaceMaker
from cluster.leftovers import is_furnished
from cluster.processes import wait_until

pytestmark = [pytest.mark.cluster_n, pytest.mark.timeout(600)]

PROGRAM = """
import json, os, pathlib, shutil, subprocess, sys

import torch
import trimtab_api
import trimtab_trainer

def can_write(folder):
    return os.access(folder, os.W_OK)

left = ["/opt/uv", "/source", os.path.expanduser("~root/.cache"), "/var/lib/apt/lists/lock"]
print(json.dumps({
    "user": [os.getuid(), os.getgid(), os.path.expanduser("~")],
    "ours": sorted({module.__file__.split("/python3")[0] for module in (trimtab_api, trimtab_trainer)}),
    "writable": [folder for folder in ("/", "/usr/local/lib", "/opt", "/tmp") if can_write(folder)],
    "left": [path for path in left if os.path.lexists(path)],
    "bytecode": bool(list(pathlib.Path(trimtab_trainer.__file__).parent.glob("__pycache__/*.pyc"))),
    "programs": [bool(shutil.which(name)) for name in ("ray", "wget", "python", "python3")],
    "help": subprocess.run([sys.executable, "-m", "trimtab_trainer", "--help"]).returncode,
}))
"""


def test_f76_the_image_has_the_trainer_and_no_rights(
    node_server: Cluster, make_namespace: NamespaceMaker, trainer_image: str
) -> None:
    namespace = make_namespace(node_server, {"pod-security.kubernetes.io/enforce": "restricted"})
    container = {
        "name": "look",
        "image": trainer_image,
        # As KubeRay starts Ray.
        "command": ["/bin/bash", "-lc", 'exec python -c "$0"', PROGRAM],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        # As jobs have it; nothing else can be written.
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    metadata = {"name": "look", "namespace": namespace}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    assert wait_until(lambda: is_furnished(node_server, namespace), 60)
    node_server.api.create(pod)

    def is_over() -> bool:
        phase = node_server.api.get("Pod", "look", namespace)["status"].get("phase")
        return phase in {"Succeeded", "Failed"}

    assert wait_until(is_over, 120)
    said = node_server.kubectl("-n", namespace, "logs", "look")
    assert json.loads(said.splitlines()[-1]) == {
        "user": [1000, 1000, "/tmp"],
        "ours": ["/usr/local/lib"],
        "writable": ["/tmp"],
        "left": [],
        "bytecode": True,
        "programs": [True, True, True, True],
        "help": 0,
    }
