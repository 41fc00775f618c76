"""`trimtab fetch` and `trimtab report` copy results out of a bucket, and say how out of a claim."""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from cluster_jobs import JOB_PATH, make_cluster_job
from command_line import RunCommand
from small_api import SmallApi
from small_bucket import SmallBucket, serve_bucket
from trimtab_api.labels import ANNOTATION_IMAGE
from trimtab_cli.doctor.capacity import parse_quantity

ROOT = "vision/digits/1111-2222/a2"
MODEL, GRAPH, WEIGHTS = b"a model", b"<xml/>", b"weights"


def make_manifest_of_artifacts(**changes: Any) -> bytes:
    entries = [
        {"file": "dense.onnx", "companions": [], "sha256": hashlib.sha256(MODEL).hexdigest()},
        {
            "file": "dense.xml",
            "companions": ["dense.bin"],
            "sha256": hashlib.sha256(GRAPH + WEIGHTS).hexdigest(),
        },
    ]
    return json.dumps({"artifacts": [{**entry, **changes} for entry in entries]}).encode()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallBucket]:
    with serve_bucket() as served:
        served.objects = {
            f"{ROOT}/report.json": b"{}",
            f"{ROOT}/report.html": b"<html></html>",
            f"{ROOT}/artifacts/dense.onnx": MODEL,
            f"{ROOT}/artifacts/dense.xml": GRAPH,
            f"{ROOT}/artifacts/dense.bin": WEIGHTS,
            f"{ROOT}/artifacts/manifest.json": make_manifest_of_artifacts(),
            f"{ROOT}/checkpoints/trial-0/model.safetensors": b"large",
            f"{ROOT}0/report.json": b"of another attempt",
        }
        monkeypatch.setenv("AWS_ENDPOINT_URL", served.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "mine")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
        yield served


def store_in(api: SmallApi, storage: str | None, **status: Any) -> None:
    api.add(JOB_PATH, make_cluster_job(storage=storage, state="Complete", **status))


def test_reports_and_artifacts_are_copied_and_nothing_else(
    trimtab: RunCommand, api: SmallApi, bucket: SmallBucket, tmp_path: Path
) -> None:
    store_in(api, f"s3://runs/{ROOT}")

    result = trimtab("fetch", "digits")

    assert result.exit_code == 0, result.output
    folder = tmp_path / "results" / "digits"
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*")) == [
        "artifacts/dense.bin",
        "artifacts/dense.onnx",
        "artifacts/dense.xml",
        "artifacts/manifest.json",
        "report.html",
        "report.json",
    ]
    digest = hashlib.sha256(MODEL).hexdigest()
    assert f"{digest}  results/digits/artifacts/dense.onnx\n" in result.stdout
    assert all("Credential=me/" in entry for entry in bucket.signed)


def test_programs_get_the_list_of_files(
    trimtab: RunCommand, api: SmallApi, bucket: SmallBucket, tmp_path: Path
) -> None:
    store_in(api, f"s3://runs/{ROOT}")

    result = trimtab("report", "digits", "--output", tmp_path / "here", "-o", "json")

    found = json.loads(result.stdout)
    assert (found["storage"], found["commands"]) == (f"s3://runs/{ROOT}", [])
    assert [entry["path"] for entry in found["files"]] == [
        str(tmp_path / "here" / name) for name in ("report.html", "report.json")
    ]
    assert [entry["bytes"] for entry in found["files"]] == [13, 2]


def test_the_page_is_opened_where_that_is_asked_for(
    trimtab: RunCommand,
    api: SmallApi,
    bucket: SmallBucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store_in(api, f"s3://runs/{ROOT}")
    opened: list[str] = []
    monkeypatch.setattr("typer.launch", opened.append)

    trimtab("report", "digits")
    trimtab("report", "digits", "--open")

    assert opened == [(tmp_path / "results" / "digits" / "report.html").as_uri()]


def test_a_file_that_is_not_what_the_manifest_says_is_named(
    trimtab: RunCommand, api: SmallApi, bucket: SmallBucket
) -> None:
    store_in(api, f"s3://runs/{ROOT}")
    bucket.objects[f"{ROOT}/artifacts/dense.onnx"] = b"another model"

    result = trimtab("fetch", "digits")

    assert result.exit_code == 4
    assert "artifacts/dense.onnx must have SHA-256" in result.stderr


@pytest.mark.parametrize(
    ("manifest", "text"),
    [
        (make_manifest_of_artifacts(file="gone.onnx"), "gone.onnx, which was not stored"),
        (make_manifest_of_artifacts(file="../../x"), "must lie inside its folder"),
        (b"[]", "must be a manifest of artifacts"),
    ],
    ids=["missing", "outside", "garbled"],
)
def test_a_manifest_that_does_not_fit_is_said(
    trimtab: RunCommand, api: SmallApi, bucket: SmallBucket, manifest: bytes, text: str
) -> None:
    store_in(api, f"s3://runs/{ROOT}")
    bucket.objects[f"{ROOT}/artifacts/manifest.json"] = manifest

    result = trimtab("fetch", "digits")

    assert result.exit_code == 4
    assert text in result.stderr


def test_nothing_is_written_outside_the_folder(
    trimtab: RunCommand, api: SmallApi, bucket: SmallBucket, tmp_path: Path
) -> None:
    store_in(api, f"s3://runs/{ROOT}")
    bucket.objects = {f"{ROOT}/artifacts/../../../../evil": b"x"}

    result = trimtab("fetch", "digits")

    assert result.exit_code == 4
    assert "must lie inside its folder" in result.stderr
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize(
    ("storage", "end"),
    [
        (None, (4, "digits has stored nothing yet")),
        ("s3://runs/vision/empty", (4, "none of report.json, report.html, artifacts")),
        ("s3://absent/x", (5, "NoSuchBucket")),
        ("ftp://x/y", (4, "must be s3:// or pvc:// but is ftp://x/y")),
    ],
    ids=["none", "empty", "no-bucket", "other"],
)
def test_results_that_are_not_there_end_with_one_line(
    trimtab: RunCommand,
    api: SmallApi,
    bucket: SmallBucket,
    storage: str | None,
    end: tuple[int, str],
) -> None:
    store_in(api, storage)
    code, text = end

    result = trimtab("fetch", "digits")

    assert result.exit_code == code
    assert text in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_closed_bucket_names_the_credentials(
    trimtab: RunCommand, api: SmallApi, bucket: SmallBucket
) -> None:
    store_in(api, f"s3://runs/{ROOT}")
    bucket.error = "InvalidAccessKeyId"

    result = trimtab("fetch", "digits")

    assert result.exit_code == 5
    assert "InvalidAccessKeyId" in result.stderr
    assert "AWS_ACCESS_KEY_ID" in result.stderr


def test_a_missing_credential_is_said(
    trimtab: RunCommand, api: SmallApi, bucket: SmallBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_in(api, f"s3://runs/{ROOT}")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")

    result = trimtab("fetch", "digits")

    assert result.exit_code == 5
    assert "redentials" in result.stderr


def test_an_endpoint_that_is_no_address_is_said(
    trimtab: RunCommand, api: SmallApi, bucket: SmallBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_in(api, f"s3://runs/{ROOT}")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nowhere")

    result = trimtab("fetch", "digits")

    assert (result.exit_code, result.stdout) == (5, "")
    assert "nowhere" in result.stderr


def test_for_a_claim_the_commands_are_printed(trimtab: RunCommand, api: SmallApi) -> None:
    store_in(api, f"pvc://data/{ROOT}", attempt=2)
    config = {"metadata": {"annotations": {ANNOTATION_IMAGE: "trainer:1.4"}}}
    api.add("/api/v1/namespaces/vision/configmaps/digits-a2", config)

    result = trimtab("fetch", "digits", "--output", "my results")

    assert result.exit_code == 0
    assert "image: trainer:1.4\n" in result.stdout
    assert "claimName: data\n" in result.stdout
    assert "kubectl -n vision wait --for=condition=Ready --timeout=5m pod/digits-copy\n" in (
        result.stdout
    )
    assert (
        f"kubectl -n vision cp digits-copy:results/{ROOT}/artifacts 'my results/artifacts'\n"
        in result.stdout
    )
    assert "trap 'kubectl -n vision delete pod digits-copy' EXIT\n" in result.stdout


def test_the_pod_that_copies_runs_where_the_head_does(trimtab: RunCommand, api: SmallApi) -> None:
    toleration = {"key": "stable", "operator": "Exists", "effect": "NoSchedule"}
    head = {"nodeSelector": {"pool": "stable"}, "tolerations": [toleration]}
    job = make_cluster_job(storage=f"pvc://data/{ROOT}", state="Complete")
    job["spec"]["cluster"] = {
        "image": "trainer:1.4",
        "imagePullSecrets": [{"name": "registry"}],
        "head": head,
    }
    api.add(JOB_PATH, job)

    spec = read_copy_pod(trimtab("fetch", "digits").stdout)["spec"]

    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert {key: spec[key] for key in head} == head


def test_the_pod_that_copies_is_small_and_says_nothing_that_the_job_does_not(
    trimtab: RunCommand, api: SmallApi
) -> None:
    store_in(api, f"pvc://data/{ROOT}")

    spec = read_copy_pod(trimtab("fetch", "digits").stdout)["spec"]

    assert not {"imagePullSecrets", "nodeSelector", "tolerations"} & set(spec)
    (container,) = spec["containers"]
    for amounts in container["resources"].values():
        assert parse_quantity(amounts["cpu"]) <= 1
        assert parse_quantity(amounts["memory"]) <= 256 * 1024**2
    assert set(container["resources"]) == {"requests", "limits"}


def read_copy_pod(printed: str) -> dict[str, Any]:
    text = printed.partition("<<'END'\n")[2].partition("\nEND\n")[0]
    return dict(YAML(typ="safe").load(text))


def run_printed(text: str, folder: Path, *, at_copy: str) -> tuple[int, str]:
    """Run commands with a kubectl that notes what it is asked; return exit code and notes."""
    log = folder / "log"
    program = folder / "kubectl"
    program.write_text(
        "#!/bin/sh\n"
        'printf "%s\\n" "$*" >> "$LOG"\n'
        'case "$3" in\n'
        'apply) cat >> "$LOG" ;;\n'
        f"cp) {at_copy} ;;\n"
        "esac\n"
    )
    program.chmod(0o755)
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "LOG": str(log)}
    done = subprocess.run(
        ["sh", "-e"], input=text, text=True, check=False, env=environment, cwd=folder
    )
    return done.returncode, log.read_text()


@pytest.mark.parametrize("at_copy", ["exit 7", "kill -TERM $PPID"], ids=["failed", "terminated"])
def test_the_pod_that_copies_goes_where_a_copy_fails(
    trimtab: RunCommand, api: SmallApi, tmp_path: Path, at_copy: str
) -> None:
    store_in(api, f"pvc://data/{ROOT}")

    code, log = run_printed(trimtab("report", "digits").stdout, tmp_path, at_copy=at_copy)

    assert code != 0
    assert log.count(" cp ") == 1
    assert log.endswith("\n-n vision delete pod digits-copy\n")
    assert log.count(" delete ") == 1


def test_the_printed_commands_are_a_program(
    trimtab: RunCommand, api: SmallApi, tmp_path: Path
) -> None:
    store_in(api, f"pvc://data/{ROOT}")

    code, log = run_printed(trimtab("report", "digits").stdout, tmp_path, at_copy=":")

    assert code == 0
    assert log.startswith("-n vision apply -f -\napiVersion: v1\nkind: Pod\n")
    assert f"cp digits-copy:results/{ROOT}/report.json results/digits/report.json\n" in log
    assert log.endswith("\n-n vision delete pod digits-copy\n")
    assert (tmp_path / "results" / "digits").is_dir()


@pytest.mark.parametrize("options", [(), ("-o", "json")], ids=["text", "json"])
def test_a_page_on_a_claim_is_not_opened_and_that_is_said(
    trimtab: RunCommand,
    api: SmallApi,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
) -> None:
    store_in(api, f"pvc://data/{ROOT}")
    opened: list[str] = []
    monkeypatch.setattr("typer.launch", opened.append)

    result = trimtab("report", "digits", "--open", *options)

    assert (result.exit_code, opened) == (0, [])
    assert result.stderr == (
        "--open has no effect where results lie on a claim:"
        " run the commands, then open results/digits/report.html\n"
    )
    assert trimtab("report", "digits").stderr == ""
