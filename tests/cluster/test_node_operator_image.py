"""The operator's image, built from its Dockerfile, holds the operator alone and runs without rights."""

import json
from collections.abc import Iterator

import pytest

from cluster.access import Cluster
from cluster.fixtures import NamespaceMaker
from cluster.node_jobs import NodeJob, make_slow_job

pytestmark = [pytest.mark.cluster_n, pytest.mark.timeout(600)]

DEPLOYMENT = ("-n", "trimtab-system", "deployment/trimtab-operator")
USER, ANY_USER = 65532, 1000680000
PROGRAM = """
import json, os
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
}))
"""


def test_f76_the_image_has_only_the_operator_and_no_rights(node_operator: Cluster) -> None:
    assert look_inside(node_operator) == {
        "user": USER,
        "writable": False,
        "heavy": [],
        "home": "/opt/trimtab",
    }


def look_inside(cluster: Cluster) -> dict[str, object]:
    program = ("/opt/trimtab/bin/python", "-c", PROGRAM)
    found: dict[str, object] = json.loads(cluster.kubectl("exec", *DEPLOYMENT, "--", *program))
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
