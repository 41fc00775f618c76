"""Files become jobs, or findings that name file, line, path, expectation and value."""

from pathlib import Path

import pytest

from command_line import WriteManifest
from trimtab_cli.manifests import read_manifest

VALID = """\
apiVersion: trimtab.dev/v1alpha1
kind: OptimizationJob
metadata: {name: digits}
spec:
  model: {builtin: small-cnn}
  dataset: {builtin: digits}
  stages:
    train: {epochs: 1}
"""


def test_a_valid_file_gives_its_job(write_manifest: WriteManifest) -> None:
    manifest = read_manifest(write_manifest(VALID))

    assert [job.metadata.name for job in manifest.jobs] == ["digits"]
    assert manifest.findings == ()


def test_a_finding_says_file_line_path_expectation_and_value(write_manifest: WriteManifest) -> None:
    path = write_manifest(VALID.replace("epochs: 1", "epochs: -1"))

    (finding,) = read_manifest(path).findings

    assert str(finding) == f"{path}:8: spec.stages.train.epochs: must be at least 1 (got -1)"


def test_every_finding_of_a_file_is_given_at_once(write_manifest: WriteManifest) -> None:
    broken = VALID.replace("epochs: 1", "epochs: 0, optimiser: SGD").replace("digits}", "Digits}")

    findings = [str(entry) for entry in read_manifest(write_manifest(broken)).findings]

    assert len(findings) == 4
    assert any("did you mean optimizer?" in finding for finding in findings)


def test_other_objects_of_a_file_are_not_judged(write_manifest: WriteManifest) -> None:
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: Not-Judged}\n---\n"

    manifest = read_manifest(write_manifest(namespace + VALID))

    assert len(manifest.jobs) == 1
    assert manifest.findings == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ":1: (document): must hold an OptimizationJob of trimtab.dev (got nothing)"),
        ("apiVersion: v1\nkind: Pod", "must hold an OptimizationJob of trimtab.dev (got Pod)"),
        (VALID.replace("kind: Opt", "kind: Opp"), "kind: must be OptimizationJob"),
        (VALID.replace("trimtab.dev/v1alpha1", "trimtab.dev/v2"), "must be trimtab.dev/v1alpha1"),
        ("- a", ":1: (document): must be a mapping with kind OptimizationJob"),
        ("a: b: c", ":1: (document): must be YAML: mapping values are not allowed here"),
        (VALID + "  seed: .nan\n", ":9: spec.seed: must be a"),
        (VALID + "  seed: 1\n  seed: 2\n", ":10: spec.seed: must be given once"),
        (VALID.replace("name: digits", "name: café"), ":3: metadata.name: must be lower-case letters"),
        (VALID.replace("name: digits", f"name: {'n' * 41}"), "must have at most 40 characters"),
        (VALID + f"  seed: {10**30}\n", ":9: spec.seed: must be"),
        (VALID + "  objectives: []\n", ":9: spec.objectives: must have at least 1 entries"),
    ],
    ids=["empty", "pod", "kind", "version", "list", "text", "nan", "twice", "unicode", "long",
         "huge", "none"],
)  # fmt: skip
def test_f29_broken_files_are_findings_with_lines(
    write_manifest: WriteManifest, text: str, expected: str
) -> None:
    manifest = read_manifest(write_manifest(text))

    assert manifest.jobs == ()
    assert any(expected in str(finding) for finding in manifest.findings), manifest.findings


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00a", b"a: \x01", b"\x80"], ids=["utf16", "control", "latin1"]
)
def test_f29_bytes_that_are_no_text_are_a_finding(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(content)

    assert len(read_manifest(path).findings) == 1


def test_f29_a_spec_of_a_megabyte_is_refused_readably(write_manifest: WriteManifest) -> None:
    text = VALID + f"  seed: '{'x' * 1_000_000}'\n"

    (finding,) = read_manifest(write_manifest(text)).findings

    assert "spec.seed: must be an integer" in str(finding)
    assert len(str(finding)) < 400


def test_a_file_beyond_every_valid_job_is_not_parsed(write_manifest: WriteManifest) -> None:
    (finding,) = read_manifest(write_manifest("#" * (1024**2 + 1))).findings

    assert "1 MiB at most" in str(finding)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.yaml", "does not exist"),
        (".", "must be a file: name the files in it"),
        ("x" * 300, "must be a readable file"),
    ],
)
def test_an_unreadable_file_is_a_finding(tmp_path: Path, name: str, words: str) -> None:
    (finding,) = read_manifest(tmp_path / name).findings

    assert finding.line is None
    assert words in str(finding)


def test_a_finding_prints_no_control_characters(write_manifest: WriteManifest) -> None:
    (finding,) = read_manifest(write_manifest(VALID + '  "\\e[31m\\n": 1\n')).findings

    assert "\\x1b[31m\\n" in str(finding)
    assert str(finding).isprintable()


@pytest.mark.parametrize(
    ("space", "path"),
    [
        ("parameters: []", "spec.stages.search.parameters"),
        ("{name: train.epochs, searchSpace: {categorical: {choices: []}}}", "choices"),
        ("{name: train.momentum, searchSpace: {uniform: {min: 0.5, max: 0.1}}}", "uniform.max"),
        ("{name: train.learningRate, searchSpace: {logUniform: {min: 0, max: 1}}}", "min"),
        ("{name: train.momentum, searchSpace: {uniform: {min: 0, max: 0.5}}}", "parameters"),
    ],
    ids=["no-parameters", "no-choices", "min-above-max", "log-of-zero", "unstepped-grid"],
)
def test_f34_an_empty_search_space_is_refused_with_its_path(
    write_manifest: WriteManifest, space: str, path: str
) -> None:
    parameters = space if space.startswith("parameters") else f"parameters: [{space}]"
    text = VALID + f"    search: {{algorithm: {{grid: {{}}}}, {parameters}}}\n"

    findings = read_manifest(write_manifest(text)).findings

    assert any(f"{path}:" in str(finding) for finding in findings), findings
