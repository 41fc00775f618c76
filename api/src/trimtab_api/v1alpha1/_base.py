"""The base of every model of the contract: how fields are spelt, and rules as data.

A rule says the same thing twice, as CEL for the API server and as a Python check, so that
`trimtab validate` and `kubectl apply` agree; the code generator and `validation` read both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

__all__ = ["ApiModel", "Mutability", "OneOf", "Rule"]


class Mutability(StrEnum):
    """When an edit of a field takes effect. A field that says nothing is immutable."""

    AT_ONCE = "M"
    NEXT_ATTEMPT = "A"


@dataclass(frozen=True, slots=True)
class Rule:
    """One validation rule over one model."""

    cel: str | None
    """The expression that the API server evaluates; true means valid. None where it reads a field that CEL cannot see: untyped scalars, and lists and maps of them."""
    check: Callable[[Any], bool]
    """The same over the parsed model."""
    message: str
    """The expectation, for people; it follows the path and the value."""
    field: str | None = None
    """The Python name of the field to blame; None blames the object."""


class ApiModel(BaseModel):
    """A frozen object of the manifest: lowerCamelCase outside, unknown fields refused."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()
    """Rules over this object, besides types and bounds of its fields."""

    mutability: ClassVar[dict[str, Mutability]] = {}
    """Python names of the fields that may change after creation."""


class OneOf(ApiModel):
    """A union of optional siblings of which exactly one is set."""

    union: ClassVar[tuple[str, ...]]
    """Python names of the siblings."""

    def chosen(self) -> str:
        """Return the Python name of the sibling that is set."""
        return next(name for name in self.union if getattr(self, name) is not None)
