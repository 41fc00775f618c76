"""What a write of an operator costs is its process's time over what the audit log holds."""

import json
from typing import Any

import pytest

from bench.process_usage import Usage, parse_usage
from cluster.audit_log import Activity, read_calls

STAT = "42 (py (3) x) S 1 42 42 0 -1 4194304 9 0 0 0 150 50 0 0 20 0 4 0 100 1 1"
STATUS = "Name:\tpython\nVmHWM:\t  204800 kB\nVmRSS:\t  102400 kB\n"


def make_line(
    second: float, verb: str, resource: str, name: str = "", **more: Any
) -> tuple[float, str]:
    event = {
        "stage": more.get("stage", "ResponseComplete"),
        "verb": verb,
        "user": {"username": more.get("user", "system:serviceaccount:a:operator")},
        "objectRef": {
            "resource": resource,
            "name": name,
            "subresource": more.get("subresource", ""),
        },
        "responseStatus": {"code": more.get("code", 201)},
        "stageTimestamp": f"2026-11-24T10:00:{second:09.6f}Z",
    }
    return second, json.dumps(event)


def read(*lines: tuple[float, str]) -> Activity:
    return Activity(read_calls(line for _, line in lines))


def test_the_kernel_counts_ticks_and_kibibytes() -> None:
    assert parse_usage(STAT, STATUS, 100) == Usage(
        cpu_seconds=2.0, resident_mib=100.0, peak_mib=200.0
    )


def test_writes_and_reads_are_those_of_the_operator() -> None:
    activity = read(
        make_line(1, "create", "optimizationjobs", "job1", user="admin"),
        make_line(2, "get", "configmaps", "job1-child", code=404),
        make_line(3, "create", "configmaps", "job1-child"),
        make_line(4, "patch", "optimizationjobs", "job1", subresource="status", code=200),
        make_line(5, "watch", "pods", stage="ResponseStarted", code=200),
        make_line(6, "watch", "pods", code=200),
        make_line(7, "watch", "rayjobs", code=403),
    )
    assert [call.resource for call in activity.writes] == ["configmaps", "optimizationjobs"]
    assert [(call.verb, call.code) for call in activity.reads] == [
        ("get", 404),
        ("watch", 200),
        ("watch", 403),
    ]
    assert activity.list_with_status() == {"job1"}


def test_latency_is_from_the_job_to_its_first_child_that_was_made() -> None:
    activity = read(
        make_line(1, "create", "optimizationjobs", "job1", user="admin"),
        make_line(1.5, "create", "optimizationjobs", "job2", user="admin"),
        make_line(1.6, "create", "configmaps", "job1-child", code=409),
        make_line(2, "patch", "configmaps", "job1-a1"),
        make_line(3, "patch", "rayjobs", "job1-a1"),
    )
    assert activity.list_latencies(["job1", "job2"]) == [pytest.approx(1000)]
