"""The policy that docs/how-to/secure.md shows lets jobs run images of the named registries only."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from cluster.access import Cluster
from cluster.api import ApiRefusedError
from cluster.fixtures import NamespaceMaker
from cluster.processes import wait_until
from cluster.watched_job import make_job
from source_tree import ROOT

pytestmark = pytest.mark.cluster_a

SECONDS = 30.0
LABEL = {"trimtab-images": "restricted"}
ALLOWED = "registry.example.com/ml/trainer:1"
REFUSED = [
    "docker.io/somebody/trainer:1",
    "trainer:1",
    "registry.example.com.other.test/ml/trainer:1",
    "registry.example.com/mlops/trainer:1",
]


def read_documents(kind: str) -> list[Any]:
    """Return the objects of a block of the page."""
    text = (ROOT / "docs" / "how-to" / "secure.md").read_text("utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (block,) = [block for block in blocks if f"kind: {kind}\n" in block]
    return list(YAML(typ="safe").load_all(block))


@pytest.fixture
def guarded(api_server: Cluster, make_namespace: NamespaceMaker) -> Iterator[str]:
    """A namespace for which the policy holds."""
    policy, binding = read_documents("ValidatingAdmissionPolicy")
    namespace = make_namespace(api_server, LABEL)
    for manifest in (policy, binding):
        api_server.api.create(manifest)
    yield namespace
    for manifest in (binding, policy):
        api_server.api.delete(manifest["kind"], manifest["metadata"]["name"])


def read_refusal(cluster: Cluster, namespace: str, /, **spec: Any) -> str:
    """Return what the API server has against a job; empty where it takes it."""
    try:
        cluster.api.create(make_job(namespace, **spec), dry_run=True)
    except ApiRefusedError as error:
        return error.message
    return ""


def name_in_cluster(image: str) -> dict[str, Any]:
    return {"cluster": {"image": image}}


def name_in_target(image: str) -> dict[str, Any]:
    placed = {"nodeSelector": {"kubernetes.io/arch": "arm64"}, "image": image}
    return {"targets": [{"name": "host"}, {"name": "edge", **placed}]}


@pytest.mark.parametrize("name", [name_in_cluster, name_in_target])
def test_only_images_of_the_named_registries_are_taken(
    api_server: Cluster,
    make_namespace: NamespaceMaker,
    guarded: str,
    name: Callable[[str], dict[str, Any]],
) -> None:
    # The API server takes a moment to learn a policy.
    assert wait_until(lambda: read_refusal(api_server, guarded, **name("x")) != "", SECONDS)
    for image in REFUSED:
        words = read_refusal(api_server, guarded, **name(image))
        assert "images must begin with registry.example.com/ml/ or " in words
        assert words.endswith(f"but are {image}")
    assert read_refusal(api_server, guarded, **name(ALLOWED)) == ""
    assert read_refusal(api_server, guarded) == ""
    elsewhere = make_namespace(api_server)
    assert read_refusal(api_server, elsewhere, **name(REFUSED[0])) == ""


def test_the_policy_over_outgoing_traffic_is_taken(
    api_server: Cluster, make_namespace: NamespaceMaker
) -> None:
    (policy,) = read_documents("NetworkPolicy")
    policy["metadata"]["namespace"] = make_namespace(api_server)
    api_server.api.create(policy, dry_run=True)
