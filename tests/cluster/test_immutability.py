"""F-31: what decides the study cannot be edited; lifecycle and placement can."""

from typing import Any

import pytest

from cluster.access import Cluster
from cluster.api import ApiRefusedError
from cluster.fixtures import NamespaceMaker
from manifest_edits import edit_manifest
from rule_cases import CHOICES, PARAMETERS, searching
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.search import Search

pytestmark = pytest.mark.cluster_a

REFUSED: dict[str, Any] = {
    "managedBy": "kueue.x-k8s.io/multikueue",
    "seed": 8,
    "model": {"args": {"width": 3}},
    "dataset": {"maxBadSamples": None, "split": {"validation": 0.2}},
    "task": {"builtin": None, "entrypoint": "own:task"},
    "objectives": [{"metric": "loss", "direction": "Minimize"}],
    "constraints": [{"metric": "accuracy", "maxDrop": 0.02}],
    "targets": [{"name": "edge", "profile": "cpu-edge", "threads": 2}],
    "stages.search.algorithm": {"bayesian": {"startupTrials": 3}},
    "stages.search.parameters": searching({"uniform": {"min": 0.1, "max": 1}})[PARAMETERS],
    "stages.search.earlyStopping": {"asha": {}},
    "stages.train": {"epochs": 13},
    "stages.prune": {"roundTo": 8},
    "stages.quantize": {"perChannel": False},
    "stages.export": {"opset": 19},
    "stages.benchmark": {"repeats": 7},
    "storage": {"uri": "s3://runs/elsewhere"},
}
"""Path of an immutable field → a change that is valid by itself."""

TAKEN: dict[str, Any] = {
    "suspend": True,
    "backoffLimit": 0,
    "activeDeadlineSeconds": 60,
    "preRunningDeadlineSeconds": 60,
    "ttlSecondsAfterFinished": 60,
    "stages.search.numTrials": 20,
    "stages.search.parallelTrials": 1,
    "stages.search.maxFailedTrials": 5,
    "stages.search.trialTimeoutSeconds": 60,
    "stages.search.warmStart": {"points": [{"train.learningRate": 0.003}]},
    "failurePolicy": {"rules": [{"class": "Timeout", "actions": ["Retry"]}]},
    "cluster": {"device": "cpu", "image": "team/trainer:2", "workers": {"replicas": 3}},
}
"""Path of a field that may be edited → a new value."""


def nest(path: str, value: object) -> dict[str, Any]:
    """Return the merge patch of one field of the spec."""
    for part in reversed(["spec", *path.split(".")]):
        value = {part: value}
    return {"spec": value["spec"]} if isinstance(value, dict) else {}


@pytest.fixture
def namespace(api_server: Cluster, make_namespace: NamespaceMaker) -> str:
    """A namespace with the job `digits`."""
    made = make_namespace(api_server)
    edits: dict[str, object] = {**searching(CHOICES), "metadata.namespace": made}
    api_server.api.create(edit_manifest(edits))
    return made


@pytest.mark.parametrize(("path", "value"), REFUSED.items(), ids=REFUSED)
def test_f31_an_edit_of_an_immutable_field_is_refused_by_its_name(
    api_server: Cluster, namespace: str, path: str, value: object
) -> None:
    with pytest.raises(ApiRefusedError) as caught:
        api_server.api.patch("OptimizationJob", "digits", nest(path, value), namespace)
    assert caught.value.code == 422
    assert f"{path.rpartition('.')[2]} is immutable" in caught.value.message


@pytest.mark.parametrize(("path", "value"), TAKEN.items(), ids=TAKEN)
def test_f31_a_mutable_field_stays_editable(
    api_server: Cluster, namespace: str, path: str, value: object
) -> None:
    edited = api_server.api.patch("OptimizationJob", "digits", nest(path, value), namespace)
    assert edited["metadata"]["generation"] == 2


def test_f31_a_status_cannot_be_written_with_the_spec(api_server: Cluster, namespace: str) -> None:
    changes = {"status": {"state": "Complete"}}
    edited = api_server.api.patch("OptimizationJob", "digits", changes, namespace)
    assert "status" not in edited


def test_each_field_of_the_spec_is_edited_here() -> None:
    tried = {path.split(".")[0] for path in (*REFUSED, *TAKEN)}
    assert {field.alias for field in Spec.model_fields.values()} - tried == set()
    tried = {path.split(".")[-1] for path in (*REFUSED, *TAKEN) if ".search." in path}
    assert {field.alias for field in Search.model_fields.values()} - tried == set()
