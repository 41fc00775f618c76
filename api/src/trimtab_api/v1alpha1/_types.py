"""Constrained types that several parts of the contract share."""

from typing import Annotated

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StringConstraints

__all__ = [
    "Args",
    "Entrypoint",
    "Glob",
    "JobName",
    "MetricName",
    "ParameterName",
    "Scalar",
    "Sha256",
    "TargetName",
    "Uri",
]

Uri = Annotated[
    str,
    StringConstraints(
        max_length=1024,
        pattern=r"^((pvc|s3)://[a-z0-9]([-a-z0-9.]*[a-z0-9])?|file://)(/[^@?#]*)?$",
    ),
]
"""A place: `s3://bucket/prefix`, `pvc://claim/path`, or `file:///path` locally; no credentials, query or fragment."""

Entrypoint = Annotated[
    str,
    StringConstraints(max_length=256, pattern=r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*$"),
]
"""`module:attr`."""

Sha256 = Annotated[str, StringConstraints(max_length=64, pattern="^[0-9a-f]{64}$")]

Glob = Annotated[str, StringConstraints(min_length=1, max_length=128)]
"""A shell-style pattern over module names."""

MetricName = Annotated[str, StringConstraints(max_length=63, pattern="^[a-z][a-z0-9_]*$")]

JobName = Annotated[str, StringConstraints(max_length=40, pattern="^[a-z]([-a-z0-9]*[a-z0-9])?$")]
"""RFC 1035 label of at most 40 characters, which leaves room for the names of children."""

ParameterName = Annotated[
    str,
    StringConstraints(
        max_length=128,
        pattern=r"^(model\.args|dataset\.args|train)(\.[A-Za-z_][A-Za-z0-9_]*)+$",
    ),
]
"""Path of the field that a search replaces."""

TargetName = Annotated[
    str, StringConstraints(max_length=20, pattern="^[a-z]([-a-z0-9]*[a-z0-9])?$")
]

Scalar = StrictBool | StrictInt | StrictFloat | Annotated[str, StringConstraints(max_length=256)]
"""A JSON scalar."""

Args = Annotated[
    dict[
        Annotated[str, StringConstraints(max_length=64, pattern="^[A-Za-z_][A-Za-z0-9_]*$")], Scalar
    ],
    Field(max_length=32),
]
"""Keyword arguments."""
