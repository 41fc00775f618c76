"""A manifest that was parsed is not parsed again, and a bad one gives its findings."""

import json

from job_world import make_manifest
from trimtab_operator.reconcile.manifests import parse_manifest


def test_the_same_text_gives_the_same_job() -> None:
    text = json.dumps(make_manifest())
    parsed = parse_manifest(text)
    assert parsed.job is not None
    assert parsed.findings == ()
    assert parse_manifest(text) is parsed
    assert parsed.expanded is parse_manifest(text).expanded


def test_a_manifest_that_breaks_a_rule_gives_findings_and_no_job() -> None:
    manifest = make_manifest()
    manifest["spec"]["stages"] = {"search": {}}
    parsed = parse_manifest(json.dumps(manifest))
    assert parsed.job is None
    assert parsed.expanded is None
    assert parsed.findings


def test_a_field_of_a_newer_definition_stops_no_job() -> None:
    manifest = make_manifest()
    known = parse_manifest(json.dumps(manifest)).job
    manifest["spec"]["later"] = "x"
    assert parse_manifest(json.dumps(manifest)).job == known
