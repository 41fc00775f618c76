"""What of the Helm chart is generated: its values, their schema and table, the rules of its roles.

Called by `__main__`, which writes them to `charts/trimtab/`. The templates are written by hand; a
test compares what they render with `deploy/`.
"""

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from trimtab_api.v1alpha1._base import ApiModel
from trimtab_codegen.chart_values import ChartValues
from trimtab_codegen.deploy import build_rules
from trimtab_codegen.reference import render_table
from trimtab_codegen.structural import iter_fields
from trimtab_operator.cluster.kinds import CLUSTER_RULES, FEW_NAMESPACES_RULES, NAMESPACE_RULES

__all__ = [
    "VALUES_BEGIN",
    "VALUES_END",
    "build_role_rules",
    "build_values_schema",
    "insert_values_table",
    "render_values",
]

Schema = dict[str, Any]

VALUES_BEGIN = "<!-- BEGIN GENERATED values: from api/ by trimtab_codegen; do not edit -->\n"
VALUES_END = "<!-- END GENERATED values -->\n"

_WIDTH = 100
# A chart that has this one as a part gives it the values of all, which are not ours to check.
_GLOBAL = {"type": "object", "description": "Values of a parent chart; not read."}


def build_values_schema() -> Schema:
    """Return the JSON schema of the values, in which no key is unknown and none may be absent."""
    schema = ChartValues.model_json_schema(by_alias=True)
    strict = _make_strict(schema, schema.get("$defs", {}))
    return {**strict, "properties": {**strict["properties"], "global": _GLOBAL}}


def build_role_rules() -> dict[str, Any]:
    """Return the rules of the chart's roles by where they count."""
    return {
        "namespace": build_rules(NAMESPACE_RULES),
        "cluster": build_rules(CLUSTER_RULES),
        "fewNamespaces": build_rules(FEW_NAMESPACES_RULES),
    }


def render_values() -> str:
    """Return values.yaml without its header: each value below a comment that says what it is."""
    return "\n".join(_render_part(ChartValues(), indent=0, is_spaced=True)) + "\n"


def insert_values_table(page: str) -> str:
    """Return a page with the table of the values between its marks.

    Raises:
        ValueError: The page lacks the marks.
    """
    before, begin, rest = page.partition(VALUES_BEGIN)
    _, end, after = rest.partition(VALUES_END)
    if not begin or not end:
        raise ValueError(f"the README of the chart must have the marks {VALUES_BEGIN!r}")
    table = render_table(("Value", "Default", "Meaning"), _iter_rows(ChartValues()))
    return f"{before}{begin}\n{table}\n\n{end}{after}"


def _make_strict(node: Any, definitions: Schema) -> Any:
    """Put definitions in place, and require all that has a default, since values.yaml sets it."""
    if isinstance(node, list):
        return [_make_strict(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        found = definitions[node["$ref"].rpartition("/")[2]]
        return _make_strict(
            {**found, **{k: v for k, v in node.items() if k != "$ref"}}, definitions
        )
    options = [option for option in node.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        rest = {key: value for key, value in node.items() if key != "anyOf"}
        return _make_strict({**options[0], **rest}, definitions)
    kept = {
        key: _make_strict(value, definitions)
        for key, value in node.items()
        if key not in {"$defs", "title", "default", "properties", "required"}
    }
    fields = node.get("properties")
    if fields is None:
        return kept
    required = [name for name, field in fields.items() if field.get("default", "") is not None]
    strict = {name: _make_strict(field, definitions) for name, field in fields.items()}
    return {**kept, "required": required, "properties": strict}


def _render_part(part: ApiModel, *, indent: int, is_spaced: bool = False) -> Iterator[str]:
    """Yield lines: a comment and the value of each field."""
    margin = " " * indent
    for number, (name, key, text) in enumerate(_iter_described(part)):
        if is_spaced and number:
            yield ""
        comment = f"{margin}# "
        yield from textwrap.wrap(
            text, _WIDTH, initial_indent=comment, subsequent_indent=comment, break_on_hyphens=False
        )
        value = getattr(part, name)
        if isinstance(value, ApiModel):
            yield f"{margin}{key}:"
            yield from _render_part(value, indent=indent + 2)
        elif isinstance(value, dict) and value:
            yield f"{margin}{key}:"
            yield from (f"{margin}  {inner}: {_render(given)}" for inner, given in value.items())
        else:
            yield f"{margin}{key}: {_render(value)}"


def _iter_rows(part: ApiModel, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for name, key, text in _iter_described(part):
        value = getattr(part, name)
        if isinstance(value, ApiModel):
            yield from _iter_rows(value, f"{prefix}{key}.")
        else:
            yield f"`{prefix}{key}`", f"`{_render(value)}`", text


def _iter_described(part: ApiModel) -> Iterator[tuple[str, str, str]]:
    """Yield the Python name, the key and the text of each field."""
    model = type(part)
    for name, key in iter_fields(model):
        yield name, key, model.model_fields[name].description or ""


def _render(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
