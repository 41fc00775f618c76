"""The seam to Kubernetes asks in plain JSON and turns every refusal into one line."""

from pathlib import Path

import pytest

from small_api import Refusal, SmallApi, make_refusal
from trimtab_cli.access import (
    ClusterError,
    ConnectionFailedError,
    ForbiddenError,
    KindMissingError,
    NotFoundError,
    Permission,
    RejectedError,
)
from trimtab_cli.cluster import connect_cluster

PATH = "/api/v1/namespaces/vision/secrets/s3"


def test_the_namespace_is_the_contexts_unless_one_is_given(api: SmallApi) -> None:
    assert connect_cluster(context=None, namespace=None).namespace == "vision"
    assert connect_cluster(context="bare", namespace=None).namespace == "default"
    assert connect_cluster(context=None, namespace="other").namespace == "other"


def test_an_object_is_read_with_the_users_token(api: SmallApi) -> None:
    api.add(PATH, {"metadata": {"name": "s3"}})

    found = connect_cluster(context=None, namespace=None).read(PATH)

    assert found == {"metadata": {"name": "s3"}}
    assert api.tokens == ["Bearer secret-of-mine"]


def test_of_a_secret_only_the_metadata_are_asked_for(api: SmallApi) -> None:
    api.add(PATH, {"metadata": {"name": "s3"}})

    connect_cluster(context=None, namespace=None).read(PATH, metadata_only=True)

    assert api.accepted == ["application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"]


@pytest.mark.parametrize(
    ("refusal", "kind", "text"),
    [
        (make_refusal(401, "Unauthorized"), ForbiddenError, "does not know these credentials"),
        (make_refusal(403, "you may not"), ForbiddenError, "you may not"),
        (make_refusal(404, '"s3" not found', name="s3"), NotFoundError, '"s3" not found'),
        (Refusal(404, "404 page not found\n"), KindMissingError, "404 page not found"),
        (make_refusal(422, "is invalid"), RejectedError, "is invalid"),
        (make_refusal(429, "too many requests"), ConnectionFailedError, "answers 429"),
        (Refusal(503, "no\nendpoints"), ConnectionFailedError, "answers 503: no endpoints"),
        (Refusal(200, "<html>"), ConnectionFailedError, "is not JSON"),
        (Refusal(200, "[]"), ConnectionFailedError, "must be an object but got []"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Refusal) else "",
)
def test_each_refusal_has_its_error(
    api: SmallApi, refusal: Refusal, kind: type[ClusterError], text: str
) -> None:
    api.add(PATH, refusal)

    with pytest.raises(kind) as caught:
        connect_cluster(context=None, namespace=None).read(PATH)

    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_does_not_answer_is_named(
    api: SmallApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = (tmp_path / "kubeconfig").read_text("utf-8").replace(api.url, "http://127.0.0.1:1")
    (tmp_path / "other").write_text(config, "utf-8")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "other"))

    with pytest.raises(ConnectionFailedError, match=r"no answer from http://127.0.0.1:1 \(context"):
        connect_cluster(context=None, namespace=None).read("/version")


def test_a_missing_kubeconfig_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))

    with pytest.raises(ConnectionFailedError, match="needs a kubeconfig"):
        connect_cluster(context=None, namespace=None)


def test_an_unknown_context_is_named_beside_the_known_ones(api: SmallApi) -> None:
    with pytest.raises(ConnectionFailedError, match=r"\(test, bare\) but got prod"):
        connect_cluster(context="prod", namespace=None)


def test_a_permission_is_asked_for_with_its_group(api: SmallApi) -> None:
    api.denied.add("get pods/log")
    cluster = connect_cluster(context=None, namespace=None)
    jobs = Permission("create", "optimizationjobs.trimtab.dev")

    assert cluster.is_allowed(jobs, namespace="vision")
    assert not cluster.is_allowed(Permission("get", "pods", "log"), namespace="vision")
    asked = api.bodies[0]["spec"]["resourceAttributes"]
    assert (asked["group"], asked["resource"]) == ("trimtab.dev", "optimizationjobs")


def test_a_tried_object_is_not_stored(api: SmallApi) -> None:
    api.add("/things/x", {})

    connect_cluster(context=None, namespace=None).try_apply("/things/x", {"spec": {"rate": 1e-4}})

    (asked,) = api.asked
    assert asked.startswith("PATCH /things/x?dryRun=All&")
    assert api.bodies == [{"spec": {"rate": 0.0001}}]


def test_a_rejected_object_has_a_cause_per_field(api: SmallApi) -> None:
    causes = [{"reason": "FieldValueInvalid", "field": "spec.seed", "message": "too small"}]
    api.add("/things/x", make_refusal(422, "is invalid", name="x", causes=causes))

    with pytest.raises(RejectedError) as caught:
        connect_cluster(context=None, namespace=None).try_apply("/things/x", {})

    assert caught.value.causes == (("spec.seed", "too small"),)


def test_the_events_of_a_watch_come_one_by_one(api: SmallApi) -> None:
    api.watches.append([{"type": "ADDED"}, {"type": "MODIFIED"}])

    events = list(connect_cluster(context=None, namespace=None).watch("/things?watch=true"))

    assert events == [{"type": "ADDED"}, {"type": "MODIFIED"}]
