"""Of two drivers at work on one storage only the later one has a say, and nothing counts twice."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ray_cluster import ray_cluster, ray_worker
from s3_server import Bucket, bucket, s3_server
from trimtab_api.labels import KEY_PROGRESS
from trimtab_api.progress import OutcomeResult, ProgressReport, parse_progress
from trimtab_trainer.cluster_run import DriverExit
from trimtab_trainer.execution.ray_session import join_cluster, leave_cluster

__all__ = ["bucket", "s3_server"]

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

SUPPORT = Path(__file__).parents[1] / "support"
PATIENCE = 240
MANY = 5000


@dataclass
class Attempt:
    """A driver that runs, and what it reported last."""

    process: subprocess.Popen[str]
    reports: Path

    @property
    def report(self) -> ProgressReport | None:
        try:
            there = json.loads(self.reports.read_bytes())
        except FileNotFoundError:
            return None
        return parse_progress(there[KEY_PROGRESS])

    def wait_for_trials(self, least: int) -> None:
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit and self.process.poll() is None:
            report = self.report
            if report is not None and report.trials and report.trials.succeeded >= least:
                return
            time.sleep(0.1)
        pytest.fail(f"no {least} trials: {self.report}")

    def wait(self) -> DriverExit:
        _, errors = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode in set(DriverExit), errors
        return DriverExit(self.process.returncode)


@contextmanager
def driver(folder: Path, storage: str, attempt: int, *, trials: int) -> Iterator[Attempt]:
    head = folder / f"head-{attempt}"
    head.mkdir()
    reports = folder / f"reports-{attempt}.json"
    arguments = [storage, str(attempt), str(trials), str(reports)]
    process = subprocess.Popen(
        [sys.executable, SUPPORT / "attempt_driver.py", *arguments],
        cwd=head,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Attempt(process, reports)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Return what starts a Ray with a worker for each of two drivers, in a folder of their own."""
    (tmp_path / "worker").mkdir()
    monkeypatch.chdir(tmp_path / "worker")

    @contextmanager
    def start() -> Iterator[None]:
        with ray_cluster(cpus=1) as address, ray_worker(address, cpus=1):
            monkeypatch.setenv("RAY_ADDRESS", address)
            join_cluster(2, patience=PATIENCE)
            leave_cluster()
            yield

    return start


@dataclass(frozen=True, slots=True)
class Stored:
    """What lies below the job's root in storage."""

    list_keys: Callable[[], list[str]]
    read: Callable[[str], bytes]

    def read_all(self, keys: Iterable[str]) -> dict[str, bytes]:
        return {key: self.read(key) for key in keys}

    def read_settled(self, attempt: str) -> dict[str, bytes]:
        """Read what an attempt finished: a trial that it was at may be written by its process yet.

        Ray ends the processes of a driver only after the driver.
        """
        keys = [key for key in self.list_keys() if key.startswith(f"{attempt}/")]
        log = self.read_all(key for key in keys if f"{key}/".startswith(f"{attempt}/trials/"))
        finished = {f"trial-{number}" for number in list_trials(log, attempt)}
        of_trials = f"{attempt}/checkpoints/trial-"
        return self.read_all(
            key for key in keys if not key.startswith(of_trials) or key.split("/")[2] in finished
        )


def compete(folder: Path, storage: str, stored: Stored) -> None:
    """Let a second driver begin while the first one searches; look at what both leave."""
    with driver(folder, storage, 1, trials=MANY) as first:
        first.wait_for_trials(2)
        # It has enough of what the first one leaves, so it only has to go on to the end.
        with driver(folder, storage, 2, trials=1) as second:
            assert first.wait() is DriverExit.FENCED
            mine = stored.read_settled("a1")
            assert second.wait() is DriverExit.DONE
    there = stored.read_all(stored.list_keys())
    assert first.report is not None
    assert first.report.outcome is None
    assert second.report is not None
    assert second.report.outcome is not None
    assert second.report.outcome.result is OutcomeResult.SUCCEEDED

    taken = list_trials(there, "a2")
    assert taken == list_trials(there, "a1")[: len(taken)]
    assert len(taken) == len(set(taken)) >= 1
    assert json.loads(there["fence"]) == {"attempt": 2}
    # What the first one was at is not finished, and nothing of it changed after its end.
    assert not [key for key in mine if key.startswith(("a1/artifacts/", "a1/stages/search"))]
    assert {key: there.get(key) for key in mine} == mine
    manifests = [key for key in there if key.endswith("artifacts/manifest.json")]
    assert manifests == ["a2/artifacts/manifest.json"]


def list_trials(there: dict[str, bytes], attempt: str) -> list[int]:
    """Return the trials in an attempt's log: a file, or an object for each line."""
    keys = sorted(key for key in there if f"{key}/".startswith(f"{attempt}/trials/"))
    lines = b"\n".join(there[key] for key in keys).split(b"\n")
    records = [json.loads(line)["record"] for line in lines[1:] if line]
    return [record["trial"]["number"] for record in records]


def test_f42_a_driver_that_is_replaced_on_a_claim_ends_before_its_next_write(
    tmp_path: Path, cluster: Callable[[], Any]
) -> None:
    storage = tmp_path / "storage"
    root = storage / "team/tiny/uid-1"

    def list_keys() -> list[str]:
        found = [Path(folder, name) for folder, _, names in os.walk(root) for name in names]
        return [path.relative_to(root).as_posix() for path in found]

    stored = Stored(list_keys, read=lambda key: (root / key).read_bytes())
    with cluster():
        compete(tmp_path, storage.as_uri(), stored)


def test_f42_a_driver_that_is_replaced_on_a_bucket_ends_before_its_next_write(
    tmp_path: Path, bucket: Bucket, cluster: Callable[[], Any]
) -> None:
    root = "runs/team/tiny/uid-1/"
    stored = Stored(
        list_keys=lambda: [key.removeprefix(root) for key in bucket.keys(root)],
        read=lambda key: bucket.store.read(root + key)[0],
    )
    with cluster():
        compete(tmp_path, f"s3://{bucket.name}/runs", stored)
