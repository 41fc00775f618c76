"""What a job may say about its pods: resources, places, environment, references to Secrets.

Parts of `cluster` and of targets, spelt as in a pod, so that they are copied as they are.
"""

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field, StrictInt, StringConstraints

from trimtab_api.v1alpha1._base import ApiModel, OneOf, Rule

__all__ = [
    "EnvSource",
    "EnvVar",
    "FieldRef",
    "Image",
    "KeyRef",
    "NodeSelector",
    "ObjectName",
    "Quantity",
    "Resources",
    "SecretRef",
    "Template",
    "Toleration",
    "TolerationEffect",
    "TolerationOperator",
    "Tolerations",
]

ObjectName = Annotated[
    str, StringConstraints(max_length=253, pattern="^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
]
"""Name of an object in the job's namespace."""

Image = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^\S+$")]
"""A container image."""

_Key = Annotated[str, StringConstraints(min_length=1, max_length=317)]
_Value = Annotated[str, StringConstraints(max_length=63)]
_QUANTITY = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$"
Quantity = (
    Annotated[StrictInt, Field(ge=0)]
    | Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=_QUANTITY)]
)
"""An amount such as 2, "500m" or "32Gi"."""

NodeSelector = Annotated[dict[_Key, _Value], Field(max_length=16)]
"""Labels that a node must have."""

Template = Annotated[
    dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})
]
"""Parts of a pod; `template_semantics` says which."""


class SecretRef(ApiModel):
    """A Secret in the job's namespace."""

    name: ObjectName
    """Name of the Secret."""


class Resources(ApiModel):
    """What a container asks for and may use at most."""

    limits: Annotated[dict[_Key, Quantity], Field(max_length=16)] = Field(default_factory=dict)
    """Resource → most that it may use, such as `cpu`, `memory` or `nvidia.com/gpu`."""
    requests: Annotated[dict[_Key, Quantity], Field(max_length=16)] = Field(default_factory=dict)
    """Resource → what is kept free for it; what is absent is as its limit."""


class TolerationOperator(StrEnum):
    """How the value of a taint is compared."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TolerationEffect(StrEnum):
    """Which effect of a taint is tolerated."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(ApiModel):
    """A taint of nodes that does not keep a pod away."""

    key: _Key | None = None
    """Key of the taint; absent, with operator Exists, = all."""
    operator: TolerationOperator | None = None
    """Exists or Equal; absent = Equal."""
    value: _Value | None = None
    """Value of the taint, for Equal."""
    effect: TolerationEffect | None = None
    """NoSchedule, PreferNoSchedule or NoExecute; absent = all."""
    toleration_seconds: Annotated[int, Field(ge=0, le=2147483647)] | None = None
    """How long NoExecute is tolerated; absent = for ever."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="has(self.key) || (has(self.operator) && self.operator == 'Exists')",
            check=lambda self: self.key is not None or self.operator is TolerationOperator.EXISTS,
            message="must be Exists where there is no key",
            field="operator",
        ),
        Rule(
            cel="!has(self.value) || !has(self.operator) || self.operator == 'Equal'",
            check=lambda self: self.value is None or self.operator is not TolerationOperator.EXISTS,
            message="must not be set with operator Exists",
            field="value",
        ),
    )


Tolerations = Annotated[tuple[Toleration, ...], Field(max_length=16)]
"""Taints that do not keep a pod away."""


class KeyRef(ApiModel):
    """One key of a Secret or ConfigMap in the job's namespace."""

    name: ObjectName
    """Name of the object."""
    key: Annotated[str, StringConstraints(max_length=253, pattern="^[-._a-zA-Z0-9]+$")]
    """Its key."""
    optional: bool | None = None
    """Whether a missing object or key is no error."""


class FieldRef(ApiModel):
    """A field of the pod itself."""

    field_path: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    """Such as `metadata.name` or `status.podIP`."""


class EnvSource(OneOf):
    """Where the value of a variable comes from. Exactly one source."""

    union: ClassVar[tuple[str, ...]] = ("secret_key_ref", "config_map_key_ref", "field_ref")

    secret_key_ref: KeyRef | None = None
    """A key of a Secret."""
    config_map_key_ref: KeyRef | None = None
    """A key of a ConfigMap."""
    field_ref: FieldRef | None = None
    """A field of the pod."""


class EnvVar(ApiModel):
    """One environment variable."""

    name: Annotated[str, StringConstraints(max_length=128, pattern="^[A-Za-z_][A-Za-z0-9_]*$")]
    """Its name; TRIMTAB_ and RAY_ names are Trimtab's own."""
    value: Annotated[str, StringConstraints(max_length=4096)] | None = None
    """Its value."""
    value_from: EnvSource | None = None
    """Where its value comes from."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!(has(self.value) && has(self.valueFrom))",
            check=lambda self: self.value is None or self.value_from is None,
            message="must not be set together with value",
            field="value_from",
        ),
        Rule(
            cel="!self.name.startsWith('TRIMTAB_') && !self.name.startsWith('RAY_')",
            check=lambda self: not self.name.startswith(("TRIMTAB_", "RAY_")),
            message="must not begin with TRIMTAB_ or RAY_: these are set by the operator",
            field="name",
        ),
    )
