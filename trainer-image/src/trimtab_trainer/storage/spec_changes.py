"""What differs between the job that a folder was made for and another one, in words.

Called by the run folder for the text of a refusal. Which fields may change is the contract's:
each model of the API names its own.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from trimtab_api.v1alpha1._base import ApiModel
from trimtab_api.v1alpha1.job import Spec

__all__ = ["describe_changes"]

_SHOWN = 3
_VALUE_LIMIT = 60


def describe_changes(before: Mapping[str, Any], after: Spec) -> str:
    """Name the fields that cannot change and differ, at most three, with both values.

    Args:
        before: The earlier spec as a report holds it (`manifest`).
        after: The spec as it is now.

    Returns:
        Such as `seed was 0 and is 5`; empty where nothing is found, or the earlier spec is none of
        this version.
    """
    try:
        earlier = Spec.model_validate(before)
    except ValidationError:
        return ""
    changes = list(_compare(earlier, after, "spec"))
    hidden = len(changes) - _SHOWN
    return ", ".join(changes[:_SHOWN]) + (f" and {hidden} more" if hidden > 0 else "")


def _compare(before: object, after: object, path: str) -> Iterator[str]:
    if isinstance(before, ApiModel) and isinstance(after, type(before)):
        for name, field in type(before).model_fields.items():
            if name not in before.mutability:
                inner = f"{path}.{field.alias or name}"
                yield from _compare(getattr(before, name), getattr(after, name), inner)
    elif isinstance(before, tuple) and isinstance(after, tuple) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _compare(old, new, f"{path}[{index}]")
    elif before != after:
        yield f"{path} was {_render(before)} and is {_render(after)}"


def _render(value: object) -> str:
    if value is None:
        return "absent"
    text = json.dumps(value, default=_dump, ensure_ascii=False)
    return text if len(text) <= _VALUE_LIMIT else f"{text[: _VALUE_LIMIT - 1]}…"


def _dump(value: object) -> Any:
    if isinstance(value, ApiModel):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    return str(value)
