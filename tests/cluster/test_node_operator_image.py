"""The operator's image, built from its Dockerfile, holds the operator alone and runs without rights."""

import json

import pytest

from cluster.access import Cluster

pytestmark = [pytest.mark.cluster_n, pytest.mark.timeout(600)]

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
    pod = ("-n", "trimtab-system", "deployment/trimtab-operator")
    said = node_operator.kubectl("exec", *pod, "--", "/opt/trimtab/bin/python", "-c", PROGRAM)
    assert json.loads(said) == {
        "user": 65532,
        "writable": False,
        "heavy": [],
        "home": "/opt/trimtab",
    }
