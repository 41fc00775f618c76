"""A manifest that was parsed is not parsed again, and a bad one gives its findings."""

import json

from job_world import make_manifest
from trimtab_operator.reconcile.manifests import parse_manifest


def test_the_same_text_gives_the_same_job() -> None:
    text = json.dumps(make_manifest())
    job, findings = parse_manifest(text)
    assert job is not None
    assert findings == ()
    assert parse_manifest(text)[0] is job


def test_a_manifest_that_breaks_a_rule_gives_findings_and_no_job() -> None:
    manifest = make_manifest()
    manifest["spec"]["stages"] = {"search": {}}
    job, findings = parse_manifest(json.dumps(manifest))
    assert job is None
    assert findings
