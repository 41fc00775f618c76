"""The alerts, from the table that the operator exports its series by: rules for Prometheus.

Called by `__main__`, which writes them to `charts/trimtab/files/rules/`, and by `metrics_page`.
Each has a page in `docs/runbooks/` and a test in `tests/charts/`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from trimtab_codegen.dashboards.queries import ENDED, JOB_LABELS, Where, maximum, select, total
from trimtab_codegen.limits import REPORT_AGE_LIMIT, WATCH_AGE_LIMIT
from trimtab_operator.telemetry import catalogue

__all__ = ["ALERTS", "Alert", "Severity", "build_rule_files"]

_JOB = "{{ $labels.job_namespace }}/{{ $labels.job_name }}"
_ON_JOB = f"on ({', '.join(JOB_LABELS)})"


class Severity(StrEnum):
    """How soon somebody should look."""

    CRITICAL = "critical"
    """Now: no job is looked after."""
    WARNING = "warning"
    """Today: time or GPUs are lost."""
    INFO = "info"
    """When the result is used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert.

    Attributes:
        name: Without the project's name before it.
        about: Whom it is about, the operator or jobs; its file and group.
        expression: True where there is a series.
        lasting: For how long it must be true; empty = at once.
        severity: How soon somebody should look.
        summary: In one line.
        description: With the values.
    """

    name: str
    about: str
    expression: str
    lasting: str = ""
    severity: Severity = Severity.WARNING
    summary: str
    description: str

    @property
    def full_name(self) -> str:
        """The name that Prometheus shows."""
        return f"Trimtab{self.name}"


def _in_state(states: str) -> str:
    return select(catalogue.JOB_STATE, {"state": f'=~"{states}"'}) + " == 1"


def _while_in(states: str) -> str:
    """Return the condition that a job is in one of some states."""
    return f"and {_ON_JOB} ({_in_state(states)})"


_ALL_ENDED = total(catalogue.TRIALS, ENDED, by=JOB_LABELS)
_ALL_FAILED = total(catalogue.TRIALS, {"state": '="Failed"'}, by=JOB_LABELS)
_READY: Where = {"state": '="ready"'}
_DESIRED: Where = {"state": '="desired"'}
_WITHOUT_TRIALS: Where = {"stage": '!~"train|prune"'}
"""Stages in which time of GPUs grows only when a trial ends."""

_OPERATOR = (
    Alert(
        name="OperatorDown",
        about="operator",
        # The chart asks for the namespace of its release, since another operator says nothing.
        expression=f"absent({select(catalogue.BUILD_INFO)})",
        lasting="5m",
        severity=Severity.CRITICAL,
        summary="Prometheus reads no operator of Trimtab.",
        description="No operator has been read for 5 minutes. Jobs that run go on, but no job is"
        " started, restarted or cleaned up, and no status is written.",
    ),
    Alert(
        name="ReconcileErrors",
        about="operator",
        expression=f"sum by (reason) (increase({select(catalogue.RECONCILE_ERRORS)}[10m])) > 5",
        lasting="10m",
        summary="Passes of the operator fail again and again.",
        description="About {{ $value | humanize }} passes failed with {{ $labels.reason }} in the"
        " last 10 minutes.",
    ),
    Alert(
        name="WatchStale",
        about="operator",
        expression=f"{maximum(catalogue.WATCH_AGE, by=('resource',))} > {WATCH_AGE_LIMIT}",
        lasting="5m",
        summary="The operator does not see changes.",
        description="The watch of {{ $labels.resource }} was last seen to be current"
        " {{ $value | humanizeDuration }} ago; it is compared every 30 seconds.",
    ),
    Alert(
        name="QueueGrowing",
        about="operator",
        expression=f"min_over_time({select(catalogue.QUEUE_DEPTH)}[10m]) > 10",
        lasting="5m",
        summary="Jobs wait for the operator.",
        description="At every moment of the last 10 minutes at least {{ $value | humanize }} jobs"
        " waited for a pass that was due.",
    ),
)
_JOBS = (
    Alert(
        name="JobStuckPending",
        about="jobs",
        expression=maximum(catalogue.JOB_STATE, {"state": '=~"Pending|Starting"'}, by=JOB_LABELS)
        + " == 1",
        lasting="30m",
        summary="A job does not begin.",
        description=f"{_JOB} has not begun for half an hour; its conditions say why.",
    ),
    Alert(
        name="JobFailed",
        about="jobs",
        expression=maximum(catalogue.JOB_STATE, {"state": '="Failed"'}, by=JOB_LABELS) + " == 1",
        summary="A job failed.",
        description=f"{_JOB} ended without a result. The alert goes when the job is tried again"
        " or deleted.",
    ),
    Alert(
        name="ReportStale",
        about="jobs",
        # Ten minutes of silence end the attempt, and with it this age.
        expression=f"{maximum(catalogue.JOB_REPORT_AGE, by=JOB_LABELS)}"
        f" > {REPORT_AGE_LIMIT} {_while_in('Running')}",
        lasting="2m",
        summary="The driver of a job is silent.",
        description=f"The last news of {_JOB} is {{{{ $value | humanizeDuration }}}} old; a driver"
        " reports every 15 seconds. After ten minutes of silence a new attempt takes its place.",
    ),
    Alert(
        name="TrialFailureRatioHigh",
        about="jobs",
        expression=f"{_ALL_FAILED} / {_ALL_ENDED} > 0.3 and {_ALL_ENDED} >= 5"
        f" {_while_in('Running')}",
        lasting="5m",
        summary="Many trials of a job fail.",
        description=f"{{{{ $value | humanizePercentage }}}} of the trials of {_JOB} failed.",
    ),
    Alert(
        name="WorkersMissing",
        about="jobs",
        expression=f"{total(catalogue.CLUSTER_WORKERS, _DESIRED, by=JOB_LABELS)}"
        f" - {total(catalogue.CLUSTER_WORKERS, _READY, by=JOB_LABELS)} > 0"
        f" {_while_in('Starting|Running')}",
        lasting="15m",
        summary="A job has fewer workers than it wants.",
        description=f"{_JOB} has been lacking {{{{ $value | humanize }}}} Ray workers for a quarter"
        " of an hour.",
    ),
    Alert(
        name="GPUIdleWhileAllocated",
        about="jobs",
        expression="sum by (job_namespace, job_name)"
        f" (increase({select(catalogue.GPU_SECONDS)}[30m])) == 0"
        f" and {_ON_JOB} ({select(catalogue.CLUSTER_WORKERS, _READY)} > 0)"
        f" and {_ON_JOB} ({select(catalogue.JOB_STAGE, _WITHOUT_TRIALS)} == 1)"
        f" {_while_in('Running')} unless {_ON_JOB} {select(catalogue.TRIAL_NUMBER)}",
        lasting="10m",
        summary="A job holds GPUs that it does not use.",
        description=f"{_JOB} has workers with GPUs, but no trial runs on them and none has ended"
        " for half an hour.",
    ),
    Alert(
        name="ConstraintMissed",
        about="jobs",
        expression=maximum(
            catalogue.CONSTRAINT_MARGIN, by=(*JOB_LABELS, "metric", "target", "limit")
        )
        + f" < 0 {_while_in('Complete')}",
        severity=Severity.INFO,
        summary="What ships misses a limit.",
        description=f"{_JOB} is complete, but {{{{ $labels.metric }}}} for {{{{ $labels.target }}}}"
        " misses its {{ $labels.limit }}: the margin is "
        '{{ $value | printf "%.4g" }}.',
    ),
)

ALERTS: tuple[Alert, ...] = (*_OPERATOR, *_JOBS)
"""All of them, those about the operator first."""


def build_rule_files() -> dict[str, dict[str, Any]]:
    """Return the rules by the name of their file."""
    return {
        f"{about}.yaml": {"groups": [{"name": f"trimtab-{about}", "rules": _list_rules(about)}]}
        for about in ("operator", "jobs")
    }


def _list_rules(about: str) -> list[dict[str, Any]]:
    return [_build_rule(alert) for alert in _of(about)]


def _of(about: str) -> Iterable[Alert]:
    return (alert for alert in ALERTS if alert.about == about)


def _build_rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.full_name,
        "expr": alert.expression,
        **({"for": alert.lasting} if alert.lasting else {}),
        "labels": {"severity": str(alert.severity)},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            # With an address of the project's files the chart makes a `runbook_url` of it.
            "runbook": f"docs/runbooks/{alert.name}.md",
        },
    }
