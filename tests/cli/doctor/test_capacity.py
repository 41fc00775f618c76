"""Pods are compared with what empty nodes offer, and what is lacking is named."""

from decimal import Decimal
from typing import Any

import pytest

from cluster_objects import make_node
from trimtab_cli.doctor._base import CheckState
from trimtab_cli.doctor.capacity import check_capacity, parse_quantity
from trimtab_cli.doctor.demand import PodDemand

GPU_TAINT = {"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}


def make_demand(count: int = 1, *, resources: Any = None, **spec: Any) -> PodDemand:
    limits = {"limits": {"cpu": "2", "memory": "4Gi"}} if resources is None else resources
    return PodDemand("workers", count, {"containers": [{"resources": limits}], **spec})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", "0.5"),
        ("2", "2"),
        (3, "3"),
        ("4Gi", "4294967296"),
        ("1.5k", "1500"),
        ("1e3", "1000"),
        ("2E", "2000000000000000000"),
    ],
)
def test_quantities_are_read_as_kubernetes_does(text: object, value: str) -> None:
    assert parse_quantity(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "4Gb", "m", "-"])
def test_what_is_no_quantity_is_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="a quantity must be a number"):
        parse_quantity(text)


def test_pods_that_fit_are_fine() -> None:
    (check,) = check_capacity([make_demand(8)], [make_node("a"), make_node("b")])

    assert check.state is CheckState.OK
    assert check.text == "2 nodes can take 8 with cpu 2, memory 4Gi each"


def test_pods_that_find_too_little_room_are_counted() -> None:
    (check,) = check_capacity([make_demand(9)], [make_node("a"), make_node("b")])

    assert check.state is CheckState.FAILED
    assert "9 wanted with cpu 2, memory 4Gi each, but 2 nodes can take 8" in check.text


def test_requests_beat_limits_and_limits_stand_in_for_them() -> None:
    resources = {"limits": {"cpu": "16", "memory": "32Gi"}, "requests": {"cpu": "4"}}

    (check,) = check_capacity([make_demand(1, resources=resources)], [make_node()])

    assert check.text == "1 node can take 1 with cpu 4, memory 32Gi each"


def test_a_resource_that_no_node_offers_is_named_with_a_command_that_shows_it() -> None:
    demand = make_demand(resources={"limits": {"nvidia.com/gpu": 1}})

    (check,) = check_capacity([demand], [make_node()])

    assert (check.state, check.text) == (CheckState.FAILED, "no node offers nvidia.com/gpu 1")
    assert check.remedy.endswith(r"nvidia.com/gpu:.status.allocatable.nvidia\.com/gpu")


def test_a_gpu_behind_a_taint_needs_a_toleration() -> None:
    nodes = [make_node(gpu="4", taints=[GPU_TAINT])]
    resources = {"limits": {"nvidia.com/gpu": 1}}
    without = make_demand(resources=resources)
    tolerant = make_demand(
        resources=resources, tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}]
    )

    refused, taken = check_capacity([without, tolerant], nodes)

    assert "repel pods without a toleration" in refused.text
    assert taken.state is CheckState.OK


@pytest.mark.parametrize(
    ("toleration", "taken"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "nvidia.com/gpu", "value": "true"}, True),
        ({"key": "nvidia.com/gpu", "value": "false"}, False),
        ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_tolerations_match_as_the_scheduler_says(
    toleration: dict[str, str], *, taken: bool
) -> None:
    (check,) = check_capacity(
        [make_demand(tolerations=[toleration])], [make_node(taints=[GPU_TAINT])]
    )

    assert (check.state is CheckState.OK) is taken


def test_labels_that_no_node_has_are_named() -> None:
    demand = make_demand(nodeSelector={"gpu": "h100"})

    (check,) = check_capacity([demand], [make_node(labels={"gpu": "a100"})])

    assert check.text == "no node has the labels gpu=h100"
    assert check.remedy == "kubectl label node NODE gpu=h100"


def test_a_cordoned_node_takes_nothing() -> None:
    node = make_node()
    node["spec"]["unschedulable"] = True

    (check,) = check_capacity([make_demand()], [node])

    assert check.state is CheckState.FAILED


def test_a_cluster_without_nodes_is_said() -> None:
    (check,) = check_capacity([make_demand()], [])

    assert check.text == "the cluster has no nodes"
