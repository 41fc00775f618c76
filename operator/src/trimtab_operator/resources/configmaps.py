"""The two ConfigMaps of a job: the mounted spec of an attempt, and the report with our control key.

The spec never changes once it is written, so it is immutable and cannot be edited under a running
driver; what the planner must remember of an attempt stands in its annotation. In the report, each
writer owns its own keys.
"""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from trimtab_api.labels import ANNOTATION_IMAGE, KEY_CONTROL, KEY_JOB
from trimtab_api.progress import Control
from trimtab_operator.resources.identity import JobIdentity
from trimtab_operator.resources.names import attempt_name, report_name

__all__ = ["ANNOTATION_RECORD", "build_report_config", "build_spec_config", "render_job"]

ANNOTATION_RECORD = "trimtab.dev/record"
"""What the planner remembers of an attempt, as JSON: on its ConfigMap, and on its RayJob as it was
at the start."""


def render_job(document: Mapping[str, Any]) -> str:
    """Return the text of key job.json for a job as the API server has it."""
    return to_json(document).decode()


def build_spec_config(
    identity: JobIdentity, attempt: int, *, job_text: str, record: str, image: str
) -> dict[str, Any]:
    """Return the ConfigMap that is mounted into the pods of an attempt.

    Args:
        identity: The job.
        attempt: Its number.
        job_text: Of key job.json.
        record: What the planner remembers of the attempt.
        image: Of the attempt's pods; empty where nobody knows.
    """
    annotations = {ANNOTATION_RECORD: record} | ({ANNOTATION_IMAGE: image} if image else {})
    metadata = identity.child_metadata(attempt_name(identity.name, attempt), attempt=attempt)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {**metadata, "annotations": annotations},
        "immutable": True,
        "data": {KEY_JOB: job_text},
    }


def build_report_config(identity: JobIdentity, control: Control) -> dict[str, Any]:
    """Return the report ConfigMap with the operator's key; the driver fills the others."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": identity.child_metadata(report_name(identity.name)),
        "data": {KEY_CONTROL: control.model_dump_json(by_alias=True, exclude_none=True)},
    }
