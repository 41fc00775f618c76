"""Generated edits of jobs, right and wrong: none breaks the operator, none leaves a trace."""

import os
import random
import sys
import time

import pytest

from cluster.access import Cluster
from cluster.edited_jobs import EditedJobs, Trial
from cluster.fixtures import NamespaceMaker
from cluster.misoperations import Operation, generate_operations, sample
from operator_process import OperatorProcess

pytestmark = [pytest.mark.cluster_a, pytest.mark.slow]

SEED = int(os.environ.get("TRIMTAB_CAMPAIGN_SEED", "20261124"))
SAMPLE = 40
AT_ONCE = 20
SEQUENCES, LENGTH = 4, 6
HOURS_2 = 7200


@pytest.fixture
def jobs(
    ray_api_server: Cluster, operator: OperatorProcess, make_namespace: NamespaceMaker
) -> EditedJobs:
    return EditedJobs(ray_api_server, make_namespace(ray_api_server))


@pytest.fixture(scope="module")
def operations(ray_api_server: Cluster) -> list[Operation]:
    """All operations that the schema on the server gives rise to."""
    name = "optimizationjobs.trimtab.dev"
    definition = ray_api_server.api.get("CustomResourceDefinition", name)
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return generate_operations(schema["properties"]["spec"])


def list_faults(trials: list[Trial], operator: OperatorProcess) -> list[str]:
    """Return what an operation did that it must not, and what broke in the operator."""
    lines = operator.read_log().splitlines()
    broken = [line for line in lines if "Traceback" in line or '"level": "error"' in line]
    found = [f"{trial.operation}: {trial.finding}" for trial in trials if trial.finding]
    alive = [] if operator.pid else ["the operator ended"]
    return [*found, *broken, *alive]


def test_every_kind_of_operation_is_generated(operations: list[Operation]) -> None:
    kinds = {operation.kind for operation in operations if "pod's" not in operation.kind}
    assert kinds >= {"delete", "empty", "min", "max", "below min", "flip", "bad word", "bad type"}
    assert len({str(operation) + repr(operation.value) for operation in operations}) > 500


def test_f30_f35_a_sample_of_edits_is_refused_by_name_or_works_and_can_be_taken_back(
    jobs: EditedJobs, operator: OperatorProcess, operations: list[Operation]
) -> None:
    trials = jobs.run(sample(operations, SEED, SAMPLE))
    assert list_faults(trials, operator) == [], f"seed {SEED}"
    assert {trial.verdict for trial in trials} == {"Refused", "Immutable", "Accepted"}


def test_f32_a_job_after_random_edits_is_as_one_that_was_created_so(
    jobs: EditedJobs, operator: OperatorProcess, operations: list[Operation]
) -> None:
    numbers = random.Random(SEED)
    # An unknown field is dropped from an edit and refused in a new job.
    editable = [
        one
        for one in operations
        if one.path[0] in {"cluster", "suspend", "backoffLimit"} and one.kind != "unknown field"
    ]
    trials = [jobs.run_sequence(numbers.sample(editable, LENGTH)) for _ in range(SEQUENCES)]
    assert list_faults(trials, operator) == [], f"seed {SEED}"


@pytest.mark.campaign
@pytest.mark.timeout(HOURS_2)
def test_f32_campaign_of_all_misoperations(
    jobs: EditedJobs,
    operator: OperatorProcess,
    operations: list[Operation],
    capsys: pytest.CaptureFixture[str],
) -> None:
    started, trials = time.monotonic(), list[Trial]()
    for first in range(0, len(operations), AT_ONCE):
        trials += jobs.run(operations[first : first + AT_ONCE])
    faults = list_faults(trials, operator)
    verdicts = [trial.verdict for trial in trials]
    counts = {name: verdicts.count(name) for name in sorted(set(verdicts))}
    with capsys.disabled():
        minutes = (time.monotonic() - started) / 60
        sys.stdout.write(f"\n{len(trials)} operations, {counts}, {minutes:.0f} min\n")
    assert not faults, "\n".join(faults)
