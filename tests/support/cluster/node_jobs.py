"""OptimizationJobs that tier N runs for real: manifests, and what is seen of them from outside.

Their data and networks are so small that all six stages take seconds; what takes time is Ray.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.access import Cluster
from cluster.api import Manifest
from cluster.processes import wait_until

__all__ = ["DRIVER", "RESOURCE", "TRIAL", "NodeJob", "make_digits_job", "make_slow_job"]

KIND = "OptimizationJob"
RESOURCE = "optimizationjobs.trimtab.dev"
_SECONDS = 300.0
_EVENT_SECONDS = 30.0
_CLAIM = "runs"

DRIVER, TRIAL = "python -m trimtab_trainer drive$", "ray::SlotProcess"
"""Patterns of the command lines of a job's processes."""
_LIST = """
import contextlib, pathlib, re, sys
for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    with contextlib.suppress(OSError):
        line = path.read_bytes().replace(b"\\0", b" ").decode().strip()
        if re.match(sys.argv[1], line):
            print(path.parent.name)
"""


def make_digits_job(name: str, *, targets: list[Manifest]) -> Manifest:
    """Return the smallest job with all six stages, on two workers with a GPU each."""
    rate = {
        "name": "train.learningRate",
        "searchSpace": {"logUniform": {"min": 0.001, "max": 0.01}},
    }
    return _make_job(
        name,
        workers={"nvidia.com/gpu": 1},
        spec={
            "model": {"builtin": "mlp"},
            "constraints": [{"metric": "accuracy", "maxDrop": 0.02}],
            "targets": targets,
            "stages": {
                "search": {"numTrials": 4, "parallelTrials": 2, "parameters": [rate]},
                "train": {"epochs": 4},
                "prune": {
                    "amount": {"ratio": 0.25},
                    "schedule": {"steps": 1},
                    "finetune": {"epochs": 2},
                },
                "quantize": {},
                "benchmark": {"repeats": 50},
            },
        },
    )


def make_slow_job(name: str, *, entrypoint: str = "slow_network:build", **more: Any) -> Manifest:
    """Return a job of three trials, one at a time, that last at least ten seconds each.

    Args:
        name: Of the job.
        entrypoint: Of the network.
        more: Fields of the spec that replace these.
    """
    seed = {"name": "train.learningRate", "searchSpace": {"uniform": {"min": 0.001, "max": 0.01}}}
    spec = {
        "model": {"entrypoint": entrypoint, "args": {"seconds": 0.25}},
        "stages": {
            "search": {
                "algorithm": {"random": {}},
                "numTrials": 3,
                "parallelTrials": 1,
                "parameters": [seed],
            },
            # One step an epoch.
            "train": {"epochs": 40, "batchSize": 2000, "checkpoint": {"everyEpochs": 4}},
            "benchmark": {"repeats": 20, "warmup": 1},
        },
        **more,
    }
    return _make_job(name, workers={}, spec=spec)


def _make_job(name: str, *, workers: Manifest, spec: Manifest) -> Manifest:
    # What is asked for is little, so that several clusters fit on a node of two cores.
    asked = {"cpu": "10m", "memory": "512Mi"}
    return {
        "apiVersion": "trimtab.dev/v1alpha1",
        "kind": KIND,
        "metadata": {"name": name},
        "spec": {
            "dataset": {"builtin": "digits"},
            "cluster": {
                "device": "cpu",
                "head": {"resources": {"requests": asked, "limits": {"memory": "4Gi"}}},
                "workers": {
                    "resources": {
                        "requests": asked,
                        "limits": {"cpu": "1", "memory": "3Gi", **workers},
                    }
                },
            },
            "storage": {"uri": f"pvc://{_CLAIM}/all"},
            **spec,
        },
    }


@dataclass(frozen=True, slots=True)
class NodeJob:
    """A job in a cluster of tier N.

    Attributes:
        cluster: Where it is.
        namespace: Its namespace.
        name: Its name.
    """

    cluster: Cluster
    namespace: str
    name: str

    @classmethod
    def apply(cls, cluster: Cluster, namespace: str, manifest: Manifest) -> "NodeJob":
        """Apply a manifest with kubectl, as users do."""
        cluster.kubectl("-n", namespace, "apply", "-f", "-", text=json.dumps(manifest))
        return cls(cluster, namespace, manifest["metadata"]["name"])

    def read(self) -> Manifest:
        """Return the job as the API server has it."""
        return self.cluster.api.get(KIND, self.name, self.namespace)

    def status(self) -> Manifest:
        """Return its status; empty before the operator has seen it."""
        status: Manifest = self.read().get("status", {})
        return status

    def conditions(self) -> dict[str, tuple[str, str]]:
        """Return type → status and reason."""
        entries = self.status().get("conditions", [])
        return {entry["type"]: (entry["status"], entry["reason"]) for entry in entries}

    def wait_for(self, kind: str, status: str, reason: str) -> None:
        """Wait until a condition is so.

        Raises:
            AssertionError: It is not in time, or the job ended otherwise.
        """
        self.wait(lambda: self.conditions().get(kind) == (status, reason), f"{kind}={reason}")

    def wait(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait until something holds, and no longer than the job lives.

        Raises:
            AssertionError: It does not hold in time, or the job ended before.
        """

        def is_over() -> bool:
            return is_so() or bool(self.status().get("completionTime"))

        if not (wait_until(is_over, _SECONDS) and is_so()):
            raise AssertionError(f"{self.name}: no {what}: {json.dumps(self.status(), indent=1)}")

    def wait_for_end(self) -> Manifest:
        """Wait with kubectl until the job is complete, and return its status.

        Raises:
            AssertionError: It failed, or takes too long.
        """
        self.wait(lambda: "completionTime" in self.status(), "end")
        self.kubectl("wait", "--for=condition=Complete", "--timeout=30s", f"{RESOURCE}/{self.name}")
        return self.status()

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl("-n", self.namespace, *arguments)

    def progress(self) -> Manifest:
        """Return what the driver reported last; empty before its first report."""
        found = self.cluster.api.find("ConfigMap", f"{self.name}-progress", self.namespace)
        text = (found or {}).get("data", {}).get("progress.json", "{}")
        report: Manifest = json.loads(text)
        return report

    def is_training(self, trial: int, *, epoch: int) -> bool:
        """Return whether a trial was reported to be so far."""
        running = self.progress().get("running", [])
        return any(entry["trial"] == trial and entry.get("epoch", 0) >= epoch for entry in running)

    def pods(self, role: str) -> list[Manifest]:
        """Return its pods that play a part in Ray and are not on their way out."""
        labels = f"trimtab.dev/job={self.name},ray.io/node-type={role}"
        pods = self.cluster.api.list("Pod", self.namespace, labels)
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def list_processes(self, pod: str, kind: str) -> list[int]:
        """Return the ids of the processes of a kind in a pod of Ray: DRIVER or TRIAL."""
        listed = self.kubectl("exec", pod, "--", "python", "-c", _LIST, kind)
        return [int(number) for number in listed.split()]

    def kill_pod(self, role: str) -> str:
        """Kill the one pod of a role at once and return its name."""
        (pod,) = self.pods(role)
        name: str = pod["metadata"]["name"]
        self.kubectl("delete", "pod", name, "--grace-period=0", "--force")
        return name

    def events(self) -> set[str]:
        """Return the reasons of the events on the job."""
        events = self.cluster.api.list("Event", self.namespace)
        return {
            event["reason"]
            for event in events
            if event["involvedObject"]["kind"] == KIND
            and event["involvedObject"]["name"] == self.name
        }

    def wait_for_event(self, reason: str) -> None:
        """Wait until there is an event of a reason: they are posted after the status is written.

        Raises:
            AssertionError: None came.
        """
        if not wait_until(lambda: reason in self.events(), _EVENT_SECONDS):
            raise AssertionError(f"{self.name}: no {reason}: {sorted(self.events())}")

    def read_trials(self, claim: Path, attempt: int) -> list[Manifest]:
        """Return the records of an attempt's trial log, in their order.

        Args:
            claim: The folder behind the claim.
            attempt: Number of the attempt.
        """
        uid = self.read()["metadata"]["uid"]
        log = claim / "all" / self.namespace / self.name / uid / f"a{attempt}" / "trials"
        return [json.loads(line)["record"]["trial"] for line in log.read_text().splitlines()[1:]]
