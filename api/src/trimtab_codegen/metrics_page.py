"""The page of the metrics, from the table that the operator exports them by.

Called by `__main__`, which writes it to `docs/reference/metrics.md`.
"""

from collections.abc import Iterator, Sequence

from trimtab_codegen.alerts import ALERTS
from trimtab_operator.telemetry.catalogue import CATALOGUE, JOB_LABELS, Series

__all__ = ["render_metrics_page"]

_HEAD = """# Metrics

The operator is the only exporter. It answers `GET /metrics` in the text format of Prometheus on the
port `TRIMTAB_OPERATOR_METRICS_PORT`, 8081 in `deploy/`; 0 or nothing turns it off. Where the files
`TRIMTAB_OPERATOR_METRICS_CERTIFICATE` and `TRIMTAB_OPERATOR_METRICS_KEY` are set it speaks TLS, and
with `TRIMTAB_OPERATOR_METRICS_CLIENT_CA` only to clients with a certificate of that authority. The
files are read for each connection, so renewed ones count at once.

Labels have values of closed sets or of the job's own spec; no trial number and no text of a
program is one. A job has about 120 series, never more than 1000, and they are gone when the job is
gone. The page is made at most once a second. How it is read and shown:
[How to watch jobs](../how-to/monitoring.md).

## Of a job

All have the labels `job_namespace` and `job_name` besides those of the table; `namespace` and `job`
are left to the scrape. Counters are the totals over all attempts in the last report, so a restart
of the operator does not reset them. What a report does not tell is absent.
"""
_OPERATOR = """
## Of the operator

Counters begin at 0 with each start of the operator.
"""

_ALERTS = """
## Alerts

Rules of `charts/trimtab/files/rules/`, as Prometheus reads them. None is about storage that is
nearly full: the operator does not see it. `kubelet_volume_stats_available_bytes` of the cluster has
the figure, or the bucket itself.

| Alert | Severity | After | Summary |
|---|---|---|---|"""


def render_metrics_page() -> str:
    """Return the page as Markdown."""
    of_jobs = [series for series in CATALOGUE if series.labels[:2] == JOB_LABELS]
    others = [series for series in CATALOGUE if series not in of_jobs]
    tables = [_HEAD, *_table(of_jobs), _OPERATOR, *_table(others), _ALERTS, *_list_alerts()]
    return "\n".join([*tables, ""])


def _table(catalogue: Sequence[Series]) -> Iterator[str]:
    yield "| Name | Type | Labels | Meaning |"
    yield "|---|---|---|---|"
    for series in catalogue:
        own = series.labels[2:] if series.labels[:2] == JOB_LABELS else series.labels
        labels = ", ".join(f"`{label}`" for label in own)
        yield f"| `{series.name}` | {series.type} | {labels} | {series.meaning} |"


def _list_alerts() -> Iterator[str]:
    for alert in ALERTS:
        link = f"[{alert.full_name}](../runbooks/{alert.name}.md)"
        yield f"| {link} | {alert.severity} | {alert.lasting or 'at once'} | {alert.summary} |"
