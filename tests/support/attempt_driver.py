"""The driver of an attempt as a program of its own, which leaves its reports in a file.

Run as `python attempt_driver.py STORAGE ATTEMPT TRIALS REPORT` in a folder that stands for the
local disk of its head.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from job_runs import make_search_job
from trimtab_trainer import cluster_pod
from trimtab_trainer.cluster_pod import PodSettings
from trimtab_trainer.cluster_run import drive
from trimtab_trainer.reporting.kubernetes import KubernetesReporter
from trimtab_trainer.reporting.progress_view import Identity, ProgressView
from trimtab_trainer.storage.filesystem import atomic_write

__all__ = ["SCRATCH", "main"]

SCRATCH = Path("/proc/self/cwd/scratch")
"""One path, and for each process the folder that it was started in."""


def main(storage: str, attempt: int, trials: int, report: Path) -> int:
    """Run the attempt; return the exit code."""
    cluster_pod.SCRATCH = SCRATCH
    job = make_search_job(search={"numTrials": trials}, cluster={"workers": {"replicas": 1}})
    settings = PodSettings("tiny", "team", "uid-1", attempt, storage)
    there: dict[str, str] = {}

    def send(keys: Mapping[str, str]) -> Mapping[str, str]:
        there.update(keys)
        atomic_write(report, json.dumps(there))
        return there

    view = ProgressView(Identity("uid-1", attempt), job.spec)
    return drive(job, settings, KubernetesReporter(view, attempt=attempt, send=send))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))
