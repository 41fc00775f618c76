"""An operator behind a proxy, and what the scripts of a job leave where nothing goes wrong.

Fault tests run a script with the fault and ask the stage what differs from the undisturbed run; that
one is made once, at the first question.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from cluster.access import Cluster
from cluster.chaosproxy import ChaosProxy
from cluster.faults import Fault, Loss, writes_in
from cluster.final_objects import compare, read_final
from cluster.job_scripts import SCRIPTS
from cluster.played_ray import PlayedRay
from cluster.simulated_ray import SimulatedRay
from operator_process import OperatorProcess

__all__ = ["Reference", "Stage"]

_STILL = 4
"""Looks in a row that must show the same."""
_CONVERGED = 60.0


@dataclass(frozen=True, slots=True)
class Reference:
    """What an undisturbed run of a script wrote and left."""

    writes: int
    final: dict[str, str]
    attempts: frozenset[str]


@dataclass(slots=True)
class Stage:
    """One operator, on which scripts are run one after the other.

    Attributes:
        cluster: Where it acts.
        proxy: Through which it does.
        operator: The process.
        heads: At tier K, those that the real KubeRay asks.
    """

    cluster: Cluster
    proxy: ChaosProxy
    operator: OperatorProcess
    heads: SimulatedRay | None = None
    _references: dict[str, Reference] = field(default_factory=dict)

    def play(self, namespace: str) -> PlayedRay:
        """Return whoever acts in a namespace beside the operator."""
        return PlayedRay(self.cluster, namespace, heads=self.heads)

    def start_outage(self) -> None:
        """Take the API server away from the operator, until the proxy is healed."""
        self.proxy.add(Fault(lambda _: True, Loss.REQUEST, times=None))
        self.proxy.cut_watches()

    def prepare(self, script: str, namespace: str) -> Reference:
        """Return what a script leaves; run undisturbed in the namespace for the first time."""
        if script not in self._references:
            ray = self.play(namespace)
            SCRIPTS[script](ray)
            final = self._settle(ray)
            writes = self.proxy.count_writes(writes_in(namespace))
            self._references[script] = Reference(writes, final, frozenset(ray.seen))
            ray.delete_job()
        return self._references[script]

    def find_differences(self, script: str, ray: PlayedRay) -> tuple[str, ...]:
        """Return what differs from the undisturbed run, once it has had its time to converge."""
        reference = self._references[script]
        equal: list[bool] = []

        def stays_equal() -> bool:
            equal.append(read_final(ray) == reference.final)
            return all(equal[-_STILL:]) and len(equal) >= _STILL

        ray.wait(stays_equal, _CONVERGED)
        return tuple(_list_differences(reference, ray))

    def list_preconditions(self, namespace: str) -> list[set[str]]:
        """Return by what each deletion of the operator in a namespace named its object."""
        deletions = [
            json.loads(seen.body)
            for seen in self.proxy.requests
            if seen.method == "DELETE" and f"/{namespace}/" in seen.path
        ]
        return [set(body["preconditions"]) for body in deletions]

    def _settle(self, ray: PlayedRay) -> dict[str, str]:
        """Wait until nothing changes any more, and return what there is."""
        last: list[dict[str, str]] = []

        def is_still() -> bool:
            last.append(read_final(ray))
            return last[-2 * _STILL :].count(last[-1]) == 2 * _STILL

        ray.wait(is_still)
        return last[-1]


def _list_differences(reference: Reference, ray: PlayedRay) -> Iterator[str]:
    yield from compare(reference.final, read_final(ray))
    if not ray.seen.keys() <= reference.attempts:
        yield f"attempts {sorted(ray.seen)} instead of {sorted(reference.attempts)}"
    for name, uids in ray.seen.items():
        if len(uids) > 1:
            yield f"RayJob {name} was made {len(uids)} times"
