"""What every child of a job takes from the operator's own configuration.

Made by the operator at its start and by `trimtab plan`; the builders beside it read it wherever a
manifest says nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ChildSettings"]


def _head_resources() -> Mapping[str, Any]:
    # Measured: 0.7 GiB idle; the driver and its imports come on top.
    return {"requests": {"cpu": "500m", "memory": "2Gi"}, "limits": {"memory": "4Gi"}}


def _worker_resources() -> Mapping[str, Any]:
    return {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSettings:
    """Defaults of children."""

    image: str
    """Trainer image where spec.cluster.image is absent."""
    storage_uri: str | None = None
    """Storage root where spec.storage is absent; None where the operator has none either."""
    ray_version: str = "2.60.0"
    """Version of Ray in that image."""
    head_resources: Mapping[str, Any] = field(default_factory=_head_resources)
    worker_resources: Mapping[str, Any] = field(default_factory=_worker_resources)
