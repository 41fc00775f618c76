"""Nodes and pods without machines: the part of a kubelet that the API server sees.

Tier K uses it. Scheduled pods of its nodes become Running and Ready, deleted ones go away; a test
holds pods back, ends or fails them, or takes a node away. No container runs; what Ray would say is
told by `simulated_ray`.
"""

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

from cluster.api import Api, ApiRefusedError, Manifest

__all__ = ["SimulatedNodes"]

_PERIOD_SECONDS = 0.2
_LABEL = "trimtab.dev/simulated"
# Addresses that are reserved for documentation: nothing is ever behind them, and nothing dials.
_ADDRESSES = (f"198.51.100.{number}" for number in itertools.cycle(range(1, 255)))
_ON_ITS_WAY = "ContainerCreating"


@dataclass(slots=True)
class SimulatedNodes:
    """Acts as the kubelet of every node that it made, in a thread, while it is a context."""

    api: Api
    _ended: threading.Event = field(default_factory=threading.Event)
    _holds: list[tuple[Callable[[Manifest], bool], Manifest]] = field(default_factory=list)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._act, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def add(self, name: str, *, gpus: int = 0, cpus: int = 64) -> None:
        """Make a node that is ready."""
        node = {"apiVersion": "v1", "kind": "Node"}
        self.api.create({**node, "metadata": {"name": name, "labels": {_LABEL: "true"}}})
        amounts = {"cpu": str(cpus), "memory": "256Gi", "pods": "110"}
        if gpus:
            amounts["nvidia.com/gpu"] = str(gpus)
        status = {"capacity": amounts, "allocatable": amounts}
        self.api.patch("Node", name, {"status": status}, subresource="/status")
        self.set_ready(name, ready=True)

    def set_ready(self, name: str, *, ready: bool) -> None:
        """Say that a node is ready, or that it is not, as a lost machine does."""
        condition = {
            "type": "Ready",
            "status": "True" if ready else "Unknown",
            "reason": "Simulated",
            "lastHeartbeatTime": _now(),
            "lastTransitionTime": _now(),
        }
        changes = {"status": {"conditions": [condition]}}
        self.api.patch("Node", name, changes, subresource="/status")
        if ready:  # the node controller of a cluster would do so a little later
            self.api.patch("Node", name, {"spec": {"taints": None}})

    def hold(
        self, chosen: Callable[[Manifest], bool], reason: str = _ON_ITS_WAY, message: str = ""
    ) -> Callable[[], None]:
        """Keep pods that a condition chooses from becoming ready, until `release`.

        Args:
            chosen: Tells of a pod whether it is held.
            reason: What the kubelet says of its containers, such as `ErrImagePull`.
            message: For people.

        Returns:
            What releases these alone.
        """
        told = {"reason": reason, **({"message": message} if message else {})}
        hold = chosen, {"waiting": told}
        self._holds.append(hold)
        return lambda: self._holds.remove(hold)

    def release(self) -> None:
        """Let all pods become ready again."""
        self._holds.clear()

    @contextmanager
    def lent(self) -> Iterator[Self]:
        """Take away afterwards what nodes were added, and release what is held."""
        before = self._names()
        yield self
        self.release()
        added = self._names() - before
        for pod in self.api.list("Pod"):
            if pod["spec"].get("nodeName") in added:
                place = pod["metadata"]["name"], pod["metadata"]["namespace"]
                with contextlib.suppress(ApiRefusedError):  # it may be gone already
                    self.api.delete("Pod", *place, gracePeriodSeconds=0)
        for name in added:
            self.api.delete("Node", name)

    def fail(self, pod: Manifest, *, reason: str = "Error", exit_code: int = 1) -> None:
        """End the containers of a pod, for example with `OOMKilled` and 137."""
        ended = {"terminated": {"exitCode": exit_code, "reason": reason, "finishedAt": _now()}}
        self._write(pod, "Failed", ended, ready=False)

    def finish(self, pod: Manifest) -> None:
        """End the containers of a pod in peace."""
        ended = {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": _now()}}
        self._write(pod, "Succeeded", ended, ready=False)

    def _act(self) -> None:
        while not self._ended.wait(_PERIOD_SECONDS):
            nodes = self._names()
            for pod in self.api.list("Pod"):
                if pod["spec"].get("nodeName") in nodes:
                    self._tend(pod)

    def _names(self) -> set[str]:
        return {node["metadata"]["name"] for node in self.api.list("Node", labels=_LABEL)}

    def _tend(self, pod: Manifest) -> None:
        metadata = pod["metadata"]
        try:
            if "deletionTimestamp" in metadata:
                options = {"gracePeriodSeconds": 0}
                self.api.delete("Pod", metadata["name"], metadata["namespace"], **options)
            elif pod["status"].get("phase") == "Pending":
                self._start(pod)
        except ApiRefusedError:
            return  # it changed meanwhile; the next round sees how

    def _start(self, pod: Manifest) -> None:
        held = next((state for chosen, state in tuple(self._holds) if chosen(pod)), None)
        if held is not None:
            known = [entry.get("state") for entry in pod["status"].get("containerStatuses", ())]
            if held not in known:
                self._write(pod, "Pending", held, ready=False)
            return
        self._write(pod, "Running", {"running": {"startedAt": _now()}}, ready=True)

    def _write(self, pod: Manifest, phase: str, state: Manifest, *, ready: bool) -> None:
        word = str(ready)
        kinds = ("Initialized", "ContainersReady", "Ready", "PodScheduled")
        always = {"Initialized", "PodScheduled"}
        conditions = [
            {
                "type": kind,
                "status": "True" if kind in always else word,
                "lastTransitionTime": _now(),
            }
            for kind in kinds
        ]
        statuses = [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": ready,
                "started": ready,
                "restartCount": 0,
                "state": state,
            }
            for container in pod["spec"]["containers"]
        ]
        status: Manifest = {
            "phase": phase,
            "conditions": conditions,
            "containerStatuses": statuses,
            "startTime": pod["status"].get("startTime", _now()),
        }
        if phase == "Running":
            address = next(_ADDRESSES)
            status |= {"podIP": address, "podIPs": [{"ip": address}]}
        metadata = pod["metadata"]
        self.api.patch(
            "Pod",
            metadata["name"],
            {"status": status},
            metadata["namespace"],
            subresource="/status",
        )


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
