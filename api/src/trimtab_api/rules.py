"""The rules of a parsed model, checked: what the API server evaluates as CEL.

Called by `validation` for whole jobs and by the semantic checks for what a trial would run.
"""

import json
from collections.abc import Iterator

from trimtab_api.findings import Finding
from trimtab_api.v1alpha1._base import ApiModel, OneOf

__all__ = ["check_rules", "render_value"]

Path = tuple[str | int, ...]

_LONGEST_VALUE = 80


def check_rules(model: ApiModel, path: Path = ()) -> Iterator[Finding]:
    """Yield a finding for each rule that a model or one of its parts breaks."""
    if isinstance(model, OneOf):
        present = [_alias(model, name) for name in model.union if getattr(model, name) is not None]
        if len(present) != 1:
            names = ", ".join(_alias(model, name) for name in model.union)
            found = f"{len(present)} of them" if present else "none"
            yield Finding(path, found, f"must have exactly one of {names}")
    for rule in model.rules:
        if not rule.check(model):
            where = path if rule.field is None else (*path, _alias(model, rule.field))
            value = model if rule.field is None else getattr(model, rule.field)
            yield Finding(where, render_value(value), rule.message)
    for name in type(model).model_fields:
        yield from _check_part(getattr(model, name), (*path, _alias(model, name)))


def _check_part(value: object, path: Path) -> Iterator[Finding]:
    if isinstance(value, ApiModel):
        yield from check_rules(value, path)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _check_part(item, (*path, index))


def _alias(model: ApiModel, name: str) -> str:
    return type(model).model_fields[name].alias or name


def render_value(value: object) -> str:
    """Return a value as JSON, cut to a readable length; empty for None."""
    if value is None:
        return ""
    if isinstance(value, ApiModel):
        text = value.model_dump_json(by_alias=True, exclude_none=True)
    elif isinstance(value, tuple) and value and isinstance(value[0], ApiModel):
        text = "[" + ", ".join(render_value(item) for item in value) + "]"
    else:
        text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
