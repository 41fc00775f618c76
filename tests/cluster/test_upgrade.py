"""Jobs that run outlive an upgrade of the operator and its rollback, whatever is upgraded first."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import previous_release
from cluster.access import Cluster
from cluster.definitions import apply_definitions, own_definitions
from cluster.fixtures import NamespaceMaker
from cluster.job_phases import MEASURING, PENDING, RUNNING, STARTING, JobsByPhase
from cluster.simulated_nodes import SimulatedNodes
from cluster.simulated_ray import SimulatedRay
from cluster.watched_job import WatchedJob
from operator_process import PATIENT, OperatorProcess, install_rights
from previous_release import (
    PREVIOUS,
    HistoryMissingError,
    operator_environment,
    unpack_previous,
)
from source_tree import ROOT

pytestmark = [pytest.mark.cluster_k, pytest.mark.timeout(600)]

MADE = (PENDING, STARTING, RUNNING, MEASURING)
LATER = "laterField"
"""A field of a definition that is newer than both operators."""
TRIALS = {"summary": "3/4", "total": 4, "succeeded": 3}


@dataclass(frozen=True, slots=True)
class Release:
    """What is installed of a checkout: its definition, and its program with its rights."""

    cluster: Cluster
    checkout: Path
    operator: OperatorProcess

    def install_definition(self) -> None:
        apply_definitions(self.cluster.api, list_definitions(self.checkout))

    def start_operator(self) -> None:
        for path in (self.checkout / "deploy").glob("*.yaml"):
            for manifest in YAML(typ="safe").load_all(path.read_text(encoding="utf-8")):
                if manifest["kind"] == "ClusterRole":
                    self.cluster.api.apply(manifest)
        self.operator.start()


def list_definitions(checkout: Path) -> list[Path]:
    return sorted((checkout / "crds").glob("*.yaml"))


def copy_with_later_field(checkout: Path) -> None:
    """Write the definitions of this checkout into another one, with a field more."""
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    (checkout / "crds").mkdir(parents=True)
    for path in list_definitions(ROOT):
        definition = yaml.load(path.read_text(encoding="utf-8"))
        (version,) = definition["spec"]["versions"]
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        spec["properties"][LATER] = {"type": "string", "maxLength": 16}
        with (checkout / "crds" / path.name).open("w", encoding="utf-8") as file:
            yaml.dump(definition, file)


@pytest.fixture
def previous(kuberay_server: Cluster, tmp_path: Path) -> Iterator[Release]:
    checkout = unpack_previous(tmp_path / "previous")
    kubeconfig, settings = install_rights(kuberay_server), operator_environment(checkout)
    operator = OperatorProcess(kubeconfig, tmp_path / "previous.log", PATIENT, settings)
    yield Release(kuberay_server, checkout, operator)
    operator.kill()


@pytest.fixture
def current(kuberay_server: Cluster, tmp_path: Path) -> Iterator[Release]:
    checkout = tmp_path / "current"
    copy_with_later_field(checkout)
    shutil.copytree(ROOT / "deploy", checkout / "deploy")
    kubeconfig = install_rights(kuberay_server)
    operator = OperatorProcess(kubeconfig, tmp_path / "current.log", PATIENT)
    yield Release(kuberay_server, checkout, operator)
    operator.kill()
    # For the tests after this one.
    apply_definitions(kuberay_server.api, own_definitions())


@pytest.fixture
def jobs(
    kuberay_server: Cluster,
    simulated_nodes: SimulatedNodes,
    simulated_ray: SimulatedRay,
    make_namespace: NamespaceMaker,
) -> JobsByPhase:
    namespace = make_namespace(kuberay_server)
    return JobsByPhase(kuberay_server, namespace, simulated_nodes, simulated_ray)


def read_lasting(jobs: JobsByPhase, made: dict[str, WatchedJob]) -> dict[str, object]:
    """Return what an upgrade must leave: what runs, and what was told of each job."""
    running = {
        f"{kind} {one['metadata']['name']}": one["metadata"]["uid"]
        for kind in ("RayJob", "RayCluster", "Pod", "Job")
        for one in jobs.cluster.api.list(kind, jobs.namespace)
    }
    told = {}
    for name, job in made.items():
        status = job.status()
        told[name] = {key: status.get(key) for key in ("attempt", "startTime", "storage")}
        told[name] |= {
            entry["type"]: (entry["reason"], entry["lastTransitionTime"])
            for entry in status["conditions"]
        }
    return {**running, **told}


def is_followed(job: WatchedJob, sequence: int) -> None:
    """Report as its driver, and see that the operator of now tells of it."""
    trials = {"summary": f"3/{sequence}", "total": sequence, "succeeded": 3}
    job.report(sequence=sequence, trials=trials)
    job.wait(lambda: job.status()["trials"]["summary"] == trials["summary"])


def test_f22_f23_running_jobs_outlive_an_upgrade_and_its_rollback(
    previous: Release, current: Release, jobs: JobsByPhase
) -> None:
    previous.install_definition()
    previous.start_operator()
    made = jobs.make(MADE)
    is_followed(made[RUNNING], 4)
    lasting = read_lasting(jobs, made)
    assert {f"RayJob {name}-a1" for name in (STARTING, RUNNING)} <= lasting.keys()

    def check(sequence: int) -> None:
        is_followed(made[RUNNING], sequence)
        assert read_lasting(jobs, made) == lasting

    # The definition goes first when upgraded, and when rolled back: each operator meets the other's.
    current.install_definition()
    check(5)
    assert previous.operator.stop() == 0
    current.start_operator()
    made[RUNNING].edit({LATER: "yes"})
    check(6)
    assert made[RUNNING].read()["spec"][LATER] == "yes"
    previous.install_definition()
    check(7)
    assert LATER not in made[RUNNING].read()["spec"]
    assert current.operator.stop() == 0
    previous.start_operator()
    check(8)
    assert previous.operator.stop() == 0
    current.start_operator()
    current.install_definition()
    check(9)
    finish(jobs, made)
    for release in (previous, current):
        assert "Traceback" not in release.operator.read_log()


def finish(jobs: JobsByPhase, made: dict[str, WatchedJob]) -> None:
    """Let all jobs go on to their ends, each in its only attempt."""
    made[PENDING].edit({"suspend": False})
    jobs.nodes.release()
    for name in (PENDING, STARTING):
        jobs.start_driver(made[name])
    for name in (PENDING, STARTING, RUNNING):
        jobs.end_driver(made[name])
    made[MEASURING].report_target("pi")
    for job in made.values():
        job.wait_for("Complete", "True/Finished")
        assert job.status()["attempt"] == 1
        assert "failedAttempts" not in job.status()


def test_f22_a_clone_without_its_history_is_told_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previous_release, "PREVIOUS", PREVIOUS[::-1])
    with pytest.raises(HistoryMissingError, match="git fetch --unshallow"):
        unpack_previous(tmp_path)
