"""The operator's image, built from its Dockerfile, holds the operator alone and runs without rights."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from cluster.access import Cluster
from cluster.fixtures import NamespaceMaker
from cluster.node_jobs import NodeJob, make_slow_job
from locked_packages import read_lock

pytestmark = [pytest.mark.cluster_n, pytest.mark.timeout(600)]

DEPLOYMENT = ("-n", "trimtab-system", "deployment/trimtab-operator")
USER, ANY_USER = 65532, 1000680000
PROGRAM = """
import json, os
from importlib.metadata import distributions
from importlib.util import find_spec

heavy = ("torch", "ray", "numpy", "onnxruntime", "trimtab_trainer", "pip", "uv")
try:
    open("/written", "w")
except OSError:
    writable = False
else:
    writable = True
print(json.dumps({
    "user": os.getuid(),
    "writable": writable,
    "heavy": [name for name in heavy if find_spec(name)],
    "home": find_spec("trimtab_operator").origin.partition("/lib/")[0],
    "packages": {package.metadata["Name"]: package.version for package in distributions()},
}))
"""


def test_f76_the_image_has_only_the_operator_as_locked_and_no_rights(
    node_operator: Cluster,
) -> None:
    found = look_inside(node_operator)
    packages = {canonicalize_name(name): version for name, version in found.pop("packages").items()}
    assert {"kopf", "trimtab-operator"} <= packages.keys()
    locked = read_lock()
    strange = {name for name, version in packages.items() if version not in locked.get(name, set())}
    assert strange == {"trimtab-api", "trimtab-operator"}
    assert found == {
        "user": USER,
        "writable": False,
        "heavy": [],
        "home": "/opt/trimtab",
    }


def look_inside(cluster: Cluster) -> dict[str, Any]:
    program = ("/opt/trimtab/bin/python", "-c", PROGRAM)
    found: dict[str, Any] = json.loads(cluster.kubectl("exec", *DEPLOYMENT, "--", *program))
    return found


def run_as(cluster: Cluster, user: int, group: int) -> None:
    """Let the operator run as another user, and wait until it watches."""
    security = {"runAsUser": user, "runAsGroup": group}
    changes = {"spec": {"template": {"spec": {"securityContext": security}}}}
    cluster.kubectl("patch", *DEPLOYMENT, "--patch", json.dumps(changes))
    cluster.kubectl("rollout", "status", *DEPLOYMENT, "--timeout=120s")


@pytest.fixture
def operator_of_any_user(node_operator: Cluster) -> Iterator[Cluster]:
    """The operator as a platform runs it that chooses users by itself: nobody, in the root group."""
    run_as(node_operator, ANY_USER, 0)
    yield node_operator
    run_as(node_operator, USER, USER)


def test_f76_the_operator_works_as_a_user_that_the_image_does_not_know(
    operator_of_any_user: Cluster, make_namespace: NamespaceMaker
) -> None:
    cluster = operator_of_any_user
    found = look_inside(cluster)
    assert (found["user"], found["writable"]) == (ANY_USER, False)
    job = NodeJob.apply(cluster, make_namespace(cluster), make_slow_job("unstored"))
    job.wait_for("Accepted", "False", "ClaimNotFound")
