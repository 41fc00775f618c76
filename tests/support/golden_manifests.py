"""The children of the golden jobs: input beside output, both as YAML that people read."""

import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from source_tree import ROOT
from trimtab_api.defaults import DETECTED_PROFILE, expand_spec
from trimtab_api.validation import parse_job
from trimtab_operator.resources.attempt import AttemptInputs
from trimtab_operator.resources.child_settings import ChildSettings
from trimtab_operator.resources.children import (
    build_attempt,
    build_control,
    build_shared,
    build_targets,
)
from trimtab_operator.resources.identity import JobIdentity
from trimtab_operator.resources.places import storage_uri

__all__ = ["CASES", "build_case", "read_case", "render_manifests"]

CASES = sorted(path.parent for path in (ROOT / "tests" / "golden").glob("*/job.yaml"))


def read_case(folder: Path) -> tuple[dict[str, Any], AttemptInputs]:
    """Return the job of a case as data, and as what its first attempt is made from."""
    document = YAML(typ="safe", pure=True).load((folder / "job.yaml").read_text(encoding="utf-8"))
    job = parse_job(document)
    settings = ChildSettings(image="trimtab/trainer:1.0", storage_uri="s3://default/runs")
    metadata = job.metadata
    identity = JobIdentity(
        name=metadata.name,
        namespace=metadata.namespace or "",
        uid=metadata.uid or "",
        labels=metadata.labels,
    )
    inputs = AttemptInputs(
        identity=identity,
        spec=expand_spec(job.spec, cores=1, detected=DETECTED_PROFILE),
        attempt=1,
        storage=storage_uri(job.spec, settings.storage_uri) or "",
        settings=settings,
    )
    return document, inputs


def build_case(folder: Path) -> list[dict[str, Any]]:
    """Return every manifest of a case's job, in the order in which they are made."""
    document, inputs = read_case(folder)
    account = inputs.spec.cluster.service_account_name
    return [
        *build_shared(inputs.identity, account, build_control(inputs)),
        *build_attempt(inputs, document, record="{}"),
        *build_targets(inputs),
    ]


def render_manifests(manifests: list[dict[str, Any]]) -> str:
    """Return manifests as YAML: stable, sorted, without anchors."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 100
    yaml.representer.ignore_aliases = lambda _: True
    out = io.StringIO()
    yaml.dump_all(manifests, out)
    return out.getvalue()
