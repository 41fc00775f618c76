"""What a job may add to its pods: `cluster.{head, workers}.template`, an allow-list.

`trimtab_api` refuses everything else, so what arrives here can be merged; what the operator sets
itself always wins.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["TemplateParts", "read_template"]

_SPEC_FIELDS = ("affinity", "topologySpreadConstraints", "runtimeClassName")


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateParts:
    """The parts of a template, by where they belong in a pod."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the pod's spec: affinity, topologySpreadConstraints, runtimeClassName."""
    volumes: tuple[Mapping[str, Any], ...] = ()
    mounts: tuple[Mapping[str, Any], ...] = ()
    """Of the one container."""


def read_template(template: Mapping[str, Any]) -> TemplateParts:
    """Return the parts of a template that passed `trimtab_api`."""
    return TemplateParts(
        labels=template.get("labels", {}),
        annotations=template.get("annotations", {}),
        spec={key: template[key] for key in _SPEC_FIELDS if key in template},
        volumes=tuple(template.get("volumes", ())),
        mounts=tuple(template.get("volumeMounts", ())),
    )
