"""A run waits for its bucket whatever it has, and loses nothing; a wrong key or clock ends it at once."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore import auth

from bucket_runs import bucket_cluster, drive_attempt
from cluster.faults import Answer, Fault, Loss, Seen
from job_runs import make_search_job
from s3_server import Bucket, S3Server, bucket, new_bucket, s3_server
from store_proxy import StoreProxy
from trimtab_api.progress import OutcomeResult, ProgressReport
from trimtab_api.reports import RunReport
from trimtab_api.stages import StageState
from trimtab_api.v1alpha1.conditions import DegradedReason, FailedReason
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_api.v1alpha1.status import TrialState
from trimtab_trainer.cluster_run import DriverExit
from trimtab_trainer.storage.bucket_mirror import record_name

__all__ = ["bucket", "s3_server"]

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = "runs/team/tiny/uid-1/a1"
UNREACHABLE, FULL = DegradedReason.STORAGE_UNREACHABLE, DegradedReason.STORAGE_FULL
ONE_WORKER = {"workers": {"replicas": 1}}
TRIALS = 4


@dataclass
class Storm:
    """What a bucket has from the moment of a request until a report tells of it."""

    start: Callable[[Seen], bool]
    effect: Answer | Loss
    reason: DegradedReason
    method: str = ""
    """Of the requests that it hits; empty for all."""
    passed: int = 0
    """Starts that are let through."""
    hits: int = 0
    told: bool = False

    def chosen(self, seen: Seen) -> bool:
        if self.hits == 0 and self.start(seen):
            self.passed -= 1
        if self.passed >= 0 or self.told or self.method not in {"", seen.method}:
            return False
        self.hits += 1
        return True


def writes(name: str) -> Callable[[Seen], bool]:
    return lambda seen: seen.method == "PUT" and seen.path.endswith(f"/{name}")


def lists(folder: str) -> Callable[[Seen], bool]:
    """Choose what asks for the names of the folders in a folder."""
    return lambda seen: "delimiter" in seen.query and seen.query["prefix"].endswith(f"{folder}/")


def record(number: int) -> Callable[[Seen], bool]:
    return writes(f"trials/{record_name(number)}")


@dataclass
class Outlasted:
    """A search that met several storms one after the other, and what it left and told."""

    bucket: Bucket
    proxy: StoreProxy
    patch: pytest.MonkeyPatch
    folder: Path
    storms: list[Storm] = field(default_factory=list)
    problems: list[DegradedReason] = field(default_factory=list)
    """As the reports told them, one for each storm."""
    last: ProgressReport | None = None
    code: DriverExit | None = None

    def meet(self, storm: Storm) -> None:
        """Let a storm come after those before."""
        self.storms.append(storm)
        self.proxy.add(Fault(storm.chosen, storm.effect, times=None))

    def head(self, name: str) -> None:
        """Stand on a new machine."""
        (self.folder / name).mkdir()
        self.patch.chdir(self.folder / name)

    def hear(self, report: ProgressReport) -> None:
        told = report.problem.reason if report.problem else None
        storm = next((storm for storm in self.storms if storm.hits and not storm.told), None)
        if told is not None and storm is not None:
            storm.told = True
            self.problems.append(told)

    def read(self, name: str) -> bytes:
        return self.bucket.store.read(f"{ROOT}/{name}")[0]

    @property
    def report(self) -> RunReport:
        return RunReport.model_validate_json(self.read("report.json"))


@pytest.fixture(scope="module")
def outlasted(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outlasted]:
    folder = tmp_path_factory.mktemp("storms")
    busy, gone = Answer(503, "ServiceUnavailable"), Loss.REQUEST
    storms = [
        Storm(writes("job.json"), busy, UNREACHABLE, passed=1),  # in the preflight
        Storm(record(1), Answer(403, "QuotaExceeded"), FULL, method="PUT"),
        Storm(record(2), gone, UNREACHABLE),
        Storm(record(3), Answer(507, "InsufficientStorage"), FULL, method="PUT"),
        Storm(lists("/checkpoints"), busy, UNREACHABLE),  # at the end of the search
    ]
    with (
        pytest.MonkeyPatch.context() as patch,
        new_bucket(s3_server, patch) as found,
        StoreProxy(s3_server) as proxy,
    ):
        patch.setenv("AWS_ENDPOINT_URL", proxy.url)
        # The last record is stored, and the driver does not hear of it.
        proxy.add(Fault(record(TRIALS), Loss.ANSWER))
        outlasted = Outlasted(found, proxy, patch, folder)
        for storm in storms:
            outlasted.meet(storm)
        with bucket_cluster(folder, patch):
            outlasted.head("tiny-1")
            job = make_search_job(search={"numTrials": TRIALS}, cluster=ONE_WORKER)
            outlasted.code, outlasted.last = drive_attempt(found, job, on_report=outlasted.hear)
            yield outlasted


def test_f52_f58_f61_a_driver_waits_for_its_bucket_tells_why_and_goes_on(
    outlasted: Outlasted,
) -> None:
    assert outlasted.problems == [storm.reason for storm in outlasted.storms]
    assert outlasted.code is DriverExit.DONE
    last = outlasted.last
    assert last is not None
    assert last.outcome is not None
    assert (last.outcome.result, last.problem) == (OutcomeResult.SUCCEEDED, None)
    # Tried again with pauses between: not as often as a loop would.
    assert all(storm.hits < 100 for storm in outlasted.storms)


def test_f52_f58_f61_no_trial_fails_for_its_bucket_and_records_are_in_order(
    outlasted: Outlasted,
) -> None:
    trials = outlasted.report.trials
    assert [(trial.number, trial.state, trial.retries) for trial in trials] == [
        (number, TrialState.SUCCEEDED, ()) for number in range(TRIALS)
    ]
    names = [f"{ROOT}/trials/{record_name(number)}" for number in range(TRIALS + 1)]
    assert outlasted.bucket.keys(f"{ROOT}/trials/") == names
    lines = [json.loads(outlasted.bucket.store.read(name)[0]) for name in names]
    assert [line["seq"] for line in lines] == list(range(TRIALS + 1))
    assert [line["record"]["trial"]["number"] for line in lines[1:]] == list(range(TRIALS))


def test_f52_f61_what_was_published_is_whole(outlasted: Outlasted) -> None:
    files = [file for candidate in outlasted.report.candidates for file in candidate.files]
    assert files
    for file in files:
        assert hashlib.sha256(outlasted.read(file.artifact)).hexdigest() == file.digest


def test_f52_a_job_starts_from_an_earlier_one_of_its_bucket_once(outlasted: Outlasted) -> None:
    job = make_warm_job()
    storm = Storm(lists("/team/tiny"), Answer(503, "ServiceUnavailable"), UNREACHABLE)
    outlasted.meet(storm)
    outlasted.head("warm-1")
    code, first = drive_attempt(outlasted.bucket, job, on_report=outlasted.hear)
    assert (code, storm.told) == (DriverExit.DONE, True)
    assert first.trials is not None
    assert (first.trials.cached, first.trials.total) == (TRIALS, 1)
    there = outlasted.bucket.store
    warm = "runs/team/warm/uid-1"
    taken = json.loads(there.read(f"{warm}/a1/warm-start.json")[0])
    earlier = outlasted.report.trials
    assert [trial["parameters"] for trial in taken] == [trial.parameters for trial in earlier]
    assert len(outlasted.bucket.keys(f"{warm}/a1/trials/")) == 1 + 1

    asked = len(outlasted.proxy.requests)
    outlasted.head("warm-2")
    code, second = drive_attempt(outlasted.bucket, job, 2)
    assert code is DriverExit.DONE
    assert second.trials == first.trials
    assert next(stage for stage in second.stages if stage.name == "search").state is (
        StageState.CACHED
    )
    assert json.loads(there.read(f"{warm}/a2/warm-start.json")[0]) == taken
    # What becomes of the earlier job is of no concern any more.
    assert not [seen for seen in outlasted.proxy.requests[asked:] if "/team/tiny/" in str(seen)]


def make_warm_job() -> OptimizationJob:
    search = {
        "algorithm": {"bayesian": {"startupTrials": 2}},
        "numTrials": 1,
        "warmStart": {"fromJob": "tiny"},
    }
    job = make_search_job(search=search, cluster=ONE_WORKER)
    return job.model_copy(update={"metadata": job.metadata.model_copy(update={"name": "warm"})})


@pytest.fixture
def proxy(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreProxy]:
    monkeypatch.chdir(tmp_path)
    with StoreProxy(bucket.server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


def test_f61_a_wrong_key_ends_the_attempt_at_once_with_its_cause(
    bucket: Bucket, proxy: StoreProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    code, report = drive_attempt(bucket, make_search_job(cluster=ONE_WORKER))
    expect_refusal(code, report, "SignatureDoesNotMatch")
    assert len(proxy.requests) == 1


@pytest.mark.parametrize("minutes", [-20, 20])
def test_f14_f61_a_clock_that_the_store_refuses_ends_the_attempt_at_once_with_its_cause(
    bucket: Bucket, proxy: StoreProxy, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    skewed = timedelta(minutes=minutes)
    monkeypatch.setattr(
        auth, "get_current_datetime", lambda: datetime.now(tz=UTC).replace(tzinfo=None) + skewed
    )
    code, report = drive_attempt(bucket, make_search_job(cluster=ONE_WORKER))
    expect_refusal(code, report, "RequestTimeTooSkewed")
    assert len(proxy.requests) == 1


def expect_refusal(code: DriverExit, report: ProgressReport, cause: str) -> None:
    assert code is DriverExit.FAILED
    assert report.outcome is not None
    assert report.outcome.reason is FailedReason.USER_ERROR
    assert report.outcome.message.startswith("storage refuses: ")
    assert cause in report.outcome.message
