"""Whether the nodes of a cluster take the pods of a job. Pure.

Called by `examination`. Counts what nodes offer when they are empty: what runs there now, and rules
such as affinity, are the scheduler's business.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from trimtab_cli.doctor._base import Check, CheckState
from trimtab_cli.doctor.demand import PodDemand

__all__ = ["check_capacity", "parse_quantity"]

_FACTORS = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal("1e3"),
    "M": Decimal("1e6"),
    "G": Decimal("1e9"),
    "T": Decimal("1e12"),
    "P": Decimal("1e15"),
    "E": Decimal("1e18"),
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}
_QUANTITY = re.compile(r"([0-9.]+(?:[eE][+-]?[0-9]+)?)([A-Za-z]{0,2})")
_REPELLING = {"NoSchedule", "NoExecute"}


def parse_quantity(text: object) -> Decimal:
    """Return a quantity of Kubernetes, such as 500m, 4Gi or 1e3, in its unit.

    Raises:
        ValueError: It is none.
    """
    match = _QUANTITY.fullmatch(str(text).strip())
    if match is None or match[2] not in _FACTORS:
        raise ValueError(
            f"a quantity must be a number with a suffix such as m or Gi but got {text}"
        )
    return Decimal(match[1]) * _FACTORS[match[2]]


def check_capacity(
    pods: Sequence[PodDemand], nodes: Sequence[Mapping[str, Any]]
) -> Iterator[Check]:
    """Compare the pods of a job with the nodes of a cluster, kind by kind.

    Args:
        pods: What a job becomes.
        nodes: As the API server lists them.
    """
    for demand in pods:
        yield _check_one(demand, nodes)


def _check_one(demand: PodDemand, nodes: Sequence[Mapping[str, Any]]) -> Check:
    subject = f"nodes for {demand.name}"
    needs = _sum_requests(demand.spec)
    wanted = ", ".join(f"{name} {_render(value)}" for name, value in sorted(needs.items()))
    selector: Mapping[str, str] = demand.spec.get("nodeSelector", {})
    chosen = [node for node in nodes if _has_labels(node, selector)]
    if not chosen:
        labels = ",".join(f"{key}={value}" for key, value in selector.items())
        text = f"no node has the labels {labels}" if selector else "the cluster has no nodes"
        remedy = f"kubectl label node NODE {labels.replace(',', ' ')}" if selector else _NODES
        return Check(subject, CheckState.FAILED, text, remedy)
    open_nodes = [node for node in chosen if _takes(node, demand.spec.get("tolerations", ()))]
    if not open_nodes:
        text = f"{_count(chosen)} with fitting labels, but all repel pods without a toleration"
        return Check(subject, CheckState.FAILED, text, _TAINTS)
    lacking = [
        name for name in needs if all(_offer(node, name) < needs[name] for node in open_nodes)
    ]
    room = sum(_fit(node, needs) for node in open_nodes)
    if room >= demand.count:
        where = f"{_count(open_nodes)} can take {demand.count} with {wanted or 'no requests'} each"
        return Check(subject, CheckState.OK, where)
    if lacking:
        columns = ",".join(f"{name}:.status.allocatable.{_escape(name)}" for name in lacking)
        text = f"no node offers {', '.join(f'{name} {_render(needs[name])}' for name in lacking)}"
        return Check(subject, CheckState.FAILED, text, f"{_COLUMNS},{columns}")
    text = (
        f"{demand.count} wanted with {wanted} each, but {_count(open_nodes)} can take {room};"
        " the rest waits for more nodes"
    )
    return Check(subject, CheckState.FAILED, text, _NODES)


_NODES = "kubectl describe nodes"
_COLUMNS = "kubectl get nodes -o custom-columns=NAME:.metadata.name"
_TAINTS = f"{_COLUMNS},TAINTS:.spec.taints"


def _count(nodes: Sequence[object]) -> str:
    return f"{len(nodes)} node" if len(nodes) == 1 else f"{len(nodes)} nodes"


def _escape(resource: str) -> str:
    return resource.replace(".", "\\.")


def _render(value: Decimal) -> str:
    """Return a quantity as people write it."""
    for suffix in ("Ti", "Gi", "Mi"):
        if value >= _FACTORS[suffix]:
            return f"{value / _FACTORS[suffix]:.4g}{suffix}"
    return f"{value:f}".rstrip("0").rstrip(".") if "." in f"{value:f}" else f"{value:f}"


def _sum_requests(spec: Mapping[str, Any]) -> dict[str, Decimal]:
    total: dict[str, Decimal] = {}
    for container in spec.get("containers", ()):
        resources = container.get("resources", {})
        # What is limited and not requested is requested as the limit says.
        requests = {**resources.get("limits", {}), **resources.get("requests", {})}
        for name, text in requests.items():
            total[name] = total.get(name, Decimal(0)) + parse_quantity(text)
    return {name: value for name, value in total.items() if value > 0}


def _has_labels(node: Mapping[str, Any], selector: Mapping[str, str]) -> bool:
    labels = node.get("metadata", {}).get("labels", {})
    return all(labels.get(key) == value for key, value in selector.items())


def _takes(node: Mapping[str, Any], tolerations: Sequence[Mapping[str, Any]]) -> bool:
    spec = node.get("spec", {})
    taints = [taint for taint in spec.get("taints") or () if taint.get("effect") in _REPELLING]
    return not spec.get("unschedulable") and all(
        any(_tolerates(toleration, taint) for toleration in tolerations) for taint in taints
    )


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") not in {None, "", taint.get("effect")}:
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in {None, "", taint.get("key")}
    same_key = toleration.get("key") == taint.get("key")
    return same_key and toleration.get("value", "") == taint.get("value", "")


def _offer(node: Mapping[str, Any], resource: str) -> Decimal:
    return parse_quantity(node.get("status", {}).get("allocatable", {}).get(resource, "0"))


def _fit(node: Mapping[str, Any], needs: Mapping[str, Decimal]) -> int:
    """Return how many pods with these requests an empty node takes."""
    most = int(_offer(node, "pods"))
    return min([most, *(int(_offer(node, name) / value) for name, value in needs.items())])
