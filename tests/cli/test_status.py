"""`trimtab status` shows how a job stands, once or until it ends."""

import json
from typing import Any

import pytest

from cluster_jobs import JOB_PATH, JOBS, make_cluster_job, make_condition, make_job_list
from command_line import RunCommand
from small_api import Refusal, SmallApi, make_refusal

DONE = [
    make_condition("Complete", "True", "Finished"),
    make_condition("GoalsMet", "False", "ConstraintMissed", "latency_p95_ms@edge ≤ 5 missed"),
]
RUNNING: dict[str, Any] = {
    "state": "Running",
    "stage": "search",
    "attempt": 2,
    "startTime": "2026-11-24T10:00:00Z",
    "cluster": {"rayJob": "digits-a2", "workersReady": 1, "workersDesired": 2},
    "trials": {"summary": "5/16", "total": 16, "running": 2, "succeeded": 4, "failed": 1},
    "best": {"trial": 3, "value": 0.972},
    "budget": {"metric": "accuracy", "allowed": 0.01, "resolution": 0.001, "remaining": 0.006},
    "stages": [
        {
            "name": "search",
            "state": "Running",
            "startTime": "2026-11-24T10:00:00Z",
            "message": "trial 5",
        },
        {"name": "train"},
    ],
    "conditions": [make_condition("Degraded", "True", "DriverStalled", "silent for 2 min")],
    "failures": [{"class": "OOM", "count": 1, "lastMessage": "out of memory"}],
}


def test_a_running_job_is_shown_with_its_figures(trimtab: RunCommand, api: SmallApi) -> None:
    api.add(JOB_PATH, make_cluster_job(**RUNNING))

    result = trimtab("status", "digits")

    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "vision/digits: Running" in lines
    assert "attempt 2" in lines
    assert "workers 1 of 2 ready, RayJob digits-a2" in lines
    assert "trials 5/16: 2 running, 4 succeeded, 1 failed" in lines
    assert "best accuracy 97.20 % in trial 3" in lines
    assert "budget 0.60 points of 1.00 points left in accuracy" in lines
    assert "failures 1 OOM (out of memory)" in lines
    assert "Degraded True DriverStalled silent for 2 min" in lines


def test_a_finished_job_is_shown_with_what_ships(trimtab: RunCommand, api: SmallApi) -> None:
    target = {
        "name": "edge",
        "state": "Measured",
        "candidate": "pruned-int8",
        "metrics": {"accuracy": 0.96, "size_mib": 0.05, "speedup": 2.5},
        "goalsMet": False,
        "limitingConstraint": "latency_p95_ms@edge ≤ 5",
    }
    api.add(
        JOB_PATH,
        make_cluster_job(
            conditions=DONE,
            startTime="2026-11-24T10:00:00Z",
            completionTime="2026-11-24T11:02:00Z",
            storage="s3://runs/vision/digits/1111-2222/a2",
            targets=[target],
            result={
                "candidate": "pruned-int8",
                "value": 0.96,
                "drop": 0.005,
                "artifact": "artifacts/pruned-int8.onnx",
            },
        ),
    )

    output = trimtab("status", "digits").stdout

    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert "vision/digits: complete, goals missed" in lines
    assert "running 1 h 02 min" in lines
    assert any(line.startswith("edge Measured pruned-int8 96.00 %") for line in lines)
    assert "missed latency_p95_ms@edge ≤ 5" in output
    assert "trimtab fetch digits -n vision" in output


def test_a_job_without_an_operator_points_to_the_doctor(trimtab: RunCommand, api: SmallApi) -> None:
    api.add(JOB_PATH, make_cluster_job())

    output = trimtab("status", "digits").stdout

    assert "not seen by an operator yet" in output
    assert "trimtab doctor -n vision" in output


def test_programs_get_the_object_as_it_is(trimtab: RunCommand, api: SmallApi) -> None:
    document = make_cluster_job(state="Dancing", weather="fine")
    api.add(JOB_PATH, document)

    assert json.loads(trimtab("status", "digits", "-o", "json").stdout) == document
    assert "weather: fine\n" in trimtab("status", "digits", "-o", "yaml").stdout
    name = trimtab("status", "digits", "-o", "name").stdout
    assert name == "optimizationjob.trimtab.dev/digits\n"


@pytest.mark.parametrize(
    ("refusal", "code", "text"),
    [
        (make_refusal(404, '"digits" not found', name="digits"), 2, '"digits" not found'),
        (Refusal(404, "404 page not found"), 5, "see: trimtab doctor"),
        (make_refusal(403, "you may not get it"), 5, "you may not get it"),
    ],
    ids=["no-job", "no-kind", "forbidden"],
)
def test_a_job_that_cannot_be_read_ends_with_one_line(
    trimtab: RunCommand, api: SmallApi, refusal: Refusal, code: int, text: str
) -> None:
    api.add(JOB_PATH, refusal)

    result = trimtab("status", "digits")

    assert (result.exit_code, result.stdout) == (code, "")
    assert text in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ([*DONE[:1], make_condition("GoalsMet", "True", "AllConstraintsMet")], 0),
        (DONE, 3),
        ([make_condition("Failed", "True", "UserError", "no such module")], 4),
    ],
    ids=["met", "missed", "failed"],
)
def test_watching_ends_as_the_job_does(
    trimtab: RunCommand, api: SmallApi, end: list[dict[str, Any]], code: int
) -> None:
    api.add(JOBS, make_job_list(make_cluster_job(**RUNNING)))
    again = make_cluster_job(version="8", **RUNNING)
    ended = make_cluster_job(version="9", conditions=end, state="Complete", message="the end")
    api.watches.append([{"type": "MODIFIED", "object": entry} for entry in (again, ended)])

    result = trimtab("status", "digits", "--watch")

    assert result.exit_code == code
    first, last = result.stdout.splitlines()
    assert first == "digits: Running, stage search, trials 5/16, best 97.20 %"
    assert last.endswith(", the end")


def test_watching_prints_each_change_for_programs(trimtab: RunCommand, api: SmallApi) -> None:
    api.add(JOBS, make_job_list(make_cluster_job(version="8", conditions=DONE)))

    result = trimtab("status", "digits", "-w", "-o", "json")

    assert result.exit_code == 3
    assert json.loads(result.stdout)["metadata"]["resourceVersion"] == "8"


def test_the_namespace_is_the_users_choice(trimtab: RunCommand, api: SmallApi) -> None:
    trimtab("status", "digits", "-n", "other")

    assert api.asked == [f"GET {JOB_PATH.replace('/vision/', '/other/')}"]


def test_on_a_terminal_the_picture_is_redrawn(
    trimtab: RunCommand, api: SmallApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    api.add(JOBS, make_job_list(make_cluster_job(**RUNNING)))
    ended = make_cluster_job(version="9", conditions=DONE, state="Complete")
    api.watches.append([{"type": "MODIFIED", "object": ended}])

    output = trimtab("status", "digits", "--watch").stdout

    assert "vision/digits: Running" in output
    assert "vision/digits: complete, goals missed" in output
    assert "\x1b[" in output


def test_stopping_a_watch_leaves_the_job_alone(
    trimtab: RunCommand, api: SmallApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    api.add(JOBS, make_job_list(make_cluster_job(**RUNNING)))

    result = trimtab("status", "digits", "--watch")

    assert result.exit_code == 130
    assert all(entry.startswith("GET ") for entry in api.asked)
