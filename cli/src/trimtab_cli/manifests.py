"""Manifest files → jobs, or findings with file and line.

Called by every command. What a manifest may say is the contract's (`trimtab_api.validation`);
here are only files, YAML and the way from a finding's path to its line.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import override

from trimtab_api.findings import Finding, InvalidJobError
from trimtab_api.v1alpha1.job import GROUP, KIND, OptimizationJob
from trimtab_api.validation import parse_job
from trimtab_cli.documents import Document, parse_documents

__all__ = ["LocatedFinding", "ManifestFile", "read_manifest"]

# Kubernetes takes objects of about 1.5 MiB; no valid job comes near.
_LARGEST_BYTES = 1024**2


@dataclass(frozen=True, slots=True)
class LocatedFinding:
    """One error of a file."""

    file: str
    line: int | None
    """Counted from 1; None where the file as a whole is meant."""
    finding: Finding

    @override
    def __str__(self) -> str:
        """Return `file:line: path: expectation (got value)` in one line of printable text."""
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return "".join(
            character if character.isprintable() else repr(character)[1:-1]
            for character in f"{where}: {self.finding.describe()}"
        )


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """What a file holds."""

    path: Path
    jobs: tuple[OptimizationJob, ...] = ()
    """Valid jobs, in the file's order."""
    documents: tuple[Document, ...] = ()
    """Where each of them stands in the file, in the same order."""
    findings: tuple[LocatedFinding, ...] = ()
    """Every error; empty = the file is fine."""


def read_manifest(path: Path) -> ManifestFile:
    """Return the jobs and the findings of a file.

    Objects of other API groups may stand beside a job, as in files for kubectl; they are not
    looked at.
    """
    try:
        text = _read_text(path)
    except (OSError, ValueError) as error:
        return ManifestFile(path, findings=(_about_file(path, error),))
    jobs: list[tuple[OptimizationJob, Document]] = []
    findings: list[LocatedFinding] = []
    documents = parse_documents(text)
    others = [_foreign_kind(document) for document in documents]
    for document, foreign in zip(documents, others, strict=True):
        if foreign is None:
            try:
                jobs.append((_parse(document), document))
            except InvalidJobError as error:
                findings.extend(_locate(path, document, error))
    if not jobs and not findings:
        found = ", ".join(dict.fromkeys(str(kind) for kind in others)) or "nothing"
        expectation = f"must hold an {KIND} of {GROUP}"
        findings.append(LocatedFinding(str(path), 1, Finding((), found, expectation)))
    return ManifestFile(
        path,
        jobs=tuple(job for job, _ in jobs),
        documents=tuple(document for _, document in jobs),
        findings=tuple(findings),
    )


def _read_text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(_LARGEST_BYTES + 1)
    if len(content) > _LARGEST_BYTES:
        raise ValueError(f"more than {_LARGEST_BYTES} bytes")
    return content.decode("utf-8-sig")


def _about_file(path: Path, error: OSError | ValueError) -> LocatedFinding:
    if isinstance(error, FileNotFoundError):
        return LocatedFinding(str(path), None, Finding((), "", "does not exist"))
    if isinstance(error, IsADirectoryError):
        finding = Finding((), "", "must be a file: name the files in it")
        return LocatedFinding(str(path), None, finding)
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return LocatedFinding(
        str(path),
        None,
        Finding((), str(reason), "must be a readable file of UTF-8 text, 1 MiB at most"),
    )


def _foreign_kind(document: Document) -> str | None:
    """Return the kind of an object of another API group; None for all that we must judge."""
    data: Any = document.data
    if not isinstance(data, Mapping) or document.problems:
        return None
    version, kind = data.get("apiVersion"), data.get("kind")
    if not isinstance(version, str) or not isinstance(kind, str):
        return None
    return kind if kind != KIND and version.partition("/")[0] != GROUP else None


def _parse(document: Document) -> OptimizationJob:
    if document.problems:
        raise InvalidJobError(
            tuple(
                Finding(entry.path, entry.value, entry.expectation) for entry in document.problems
            )
        )
    return parse_job(document.data)


def _locate(path: Path, document: Document, error: InvalidJobError) -> Iterator[LocatedFinding]:
    # A problem of the text has a line of its own, which need not be its path's.
    lines = [problem.line for problem in document.problems] or [
        document.find_line(finding.path) for finding in error.findings
    ]
    for line, finding in zip(lines, error.findings, strict=True):
        yield LocatedFinding(str(path), line, finding)
