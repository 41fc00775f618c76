"""The reference of OptimizationJob in Markdown: fields, rules, conditions, events, metrics.

Called by `__main__`, which writes it to `docs/reference/`. Texts are the docstrings of the
contract, so that they stand in one place.
"""

import ast
import inspect
import itertools
import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from trimtab_api.events import EventReason
from trimtab_api.metrics import KNOWN_METRICS
from trimtab_api.stages import StageName, StageReason
from trimtab_api.v1alpha1._base import ApiModel, Mutability, OneOf
from trimtab_api.v1alpha1.conditions import CONDITION_REASONS, ConditionType
from trimtab_api.v1alpha1.job import API_VERSION, GROUP, KIND, Spec
from trimtab_api.v1alpha1.runtime import FailureAction
from trimtab_api.v1alpha1.status import Status
from trimtab_api.v1alpha1.train import LossScaleMode, PrecisionDtype
from trimtab_codegen.crd import PLURAL, build_spec_schema, build_status_schema
from trimtab_codegen.structural import iter_fields, model_below

__all__ = ["render_reference", "render_table"]

Schema = dict[str, Any]

_INTRODUCTION = (
    f"In a cluster the resource is `{PLURAL}.{GROUP}`, short `trim`. Unknown fields are refused."
)
_LEGEND = (
    "A default that is *computed* is filled in when the job is planned; `trimtab plan` shows it."
    " *Changes* tells when an edit after creation takes effect; a field with `no` needs another"
    " job."
)
_WORDS: dict[str, type[StrEnum]] = {
    "spec.stages.train.precision.dtype": PrecisionDtype,
    "spec.stages.train.precision.lossScale.mode": LossScaleMode,
    "spec.failurePolicy.rules[].actions": FailureAction,
}
"""Fields whose words need an explanation each."""

_CHANGES = {
    None: "no",
    Mutability.AT_ONCE: "at once",
    Mutability.NEXT_ATTEMPT: "next attempt",
}


@dataclass(frozen=True, slots=True)
class _Field:
    path: str
    schema: Schema
    is_required: bool
    part: type[ApiModel] | None
    mutability: Mutability | None


def render_reference() -> str:
    """Return the whole page, ending in a newline."""
    parts = (
        f"# {KIND} ({API_VERSION})",
        _INTRODUCTION,
        "## Spec",
        _LEGEND,
        *_render_spec(),
        "## Rules",
        "Beside types and bounds:",
        "\n".join(f"- `{path}`: {text}." for path, text in _iter_rules()),
        "## Words",
        *_render_words(),
        "## Conditions",
        *_render_conditions(),
        "## Reasons of stages",
        render_table(("Reason", "Meaning"), _iter_words(StageReason)),
        "## Events",
        _render_events(),
        "## Metrics",
        _render_metrics(),
        "## Status",
        *_render_status(),
    )
    return "\n\n".join(parts) + "\n"


def _render_spec() -> Iterator[str]:
    fields = list(_iter_paths(Spec, build_spec_schema(), "spec"))
    stages = [f"spec.stages.{name}" for name in StageName]
    groups = {prefix: [field for field in fields if _is_in(field, prefix)] for prefix in stages}
    general = [field for field in fields if not any(_is_in(field, stage) for stage in stages)]
    yield _render_spec_table(general)
    for prefix, members in groups.items():
        yield f"### {prefix}"
        yield _render_spec_table(members)


def _is_in(field: _Field, prefix: str) -> bool:
    return field.path == prefix or field.path.startswith(f"{prefix}.")


def _render_spec_table(fields: Iterable[_Field]) -> str:
    head = ("Field", "Type", "Default", "Bounds", "Changes", "Meaning")
    return render_table(head, (_spec_row(field) for field in fields))


def _spec_row(field: _Field) -> tuple[str, ...]:
    return (
        f"`{field.path}`",
        _render_type(field.schema),
        _render_default(field),
        _render_bounds(field.schema),
        _CHANGES[field.mutability],
        field.schema["description"],
    )


def _render_status() -> Iterator[str]:
    fields = _iter_paths(Status, build_status_schema(), "status")
    rows = (
        (f"`{field.path}`", _render_type(field.schema), field.schema["description"])
        for field in fields
    )
    yield "Reported, never written by people; every field may be absent."
    yield render_table(("Field", "Type", "Meaning"), rows)


def _iter_paths(
    model: type[ApiModel], schema: Schema, path: str, inherited: Mutability | None = None
) -> Iterator[_Field]:
    """Yield the fields of a model and of its parts, which change with the field that holds them."""
    for name, alias in iter_fields(model):
        node = schema["properties"][alias]
        part = model_below(model, name)
        field = _Field(
            path=f"{path}.{alias}",
            schema=node,
            is_required=alias in schema.get("required", ()),
            part=part,
            mutability=model.mutability.get(name, inherited),
        )
        yield field
        if part is not None and node["type"] == "array":
            yield from _iter_paths(part, node["items"], f"{field.path}[]", field.mutability)
        elif part is not None:
            yield from _iter_paths(part, node, field.path, field.mutability)


def _render_type(schema: Schema) -> str:
    if "x-kubernetes-int-or-string" in schema:
        return "quantity"
    if "x-kubernetes-preserve-unknown-fields" in schema:
        return str(schema.get("type", "scalar"))
    if "items" in schema:
        return f"list of {_render_type(schema['items'])}"
    if "additionalProperties" in schema:
        return f"map to {_render_type(schema['additionalProperties'])}"
    if "enum" in schema:
        return " or ".join(f"`{word}`" for word in schema["enum"])
    return str(schema["type"])


def _render_default(field: _Field) -> str:
    if field.is_required:
        return "required"
    if "Computed:" in field.schema["description"]:
        return "computed"
    if "default" not in field.schema:
        return "absent"
    if field.part is not None and field.schema["type"] == "object":
        # The fields of an object have rows of their own, unless one of them has no default.
        given = field.schema["default"]
        own = {name: node.get("default") for name, node in field.schema["properties"].items()}
        if all(own[name] == value for name, value in given.items()):
            return "as below"
    return f"`{json.dumps(field.schema['default'])}`"


def _render_bounds(schema: Schema) -> str:
    bounds = []
    for bound, strict, loose in (("Minimum", ">", "≥"), ("Maximum", "<", "≤")):
        if bound.lower() in schema:
            sign = strict if f"exclusive{bound}" in schema else loose
            bounds.append(f"{sign} {_number(schema[bound.lower()])}")
    if "maxItems" in schema and "items" in schema:
        bounds.append(f"{schema.get('minItems', 0)} to {schema['maxItems']} entries")
    if "maxProperties" in schema and "additionalProperties" in schema:
        bounds.append(f"≤ {schema['maxProperties']} entries")
    if "pattern" in schema:
        bounds.append(f"`{schema['pattern']}`")
    if "maxLength" in schema and "type" in schema:
        bounds.append(f"≤ {schema['maxLength']} characters")
    return ", ".join(bounds)


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


def _iter_rules() -> Iterator[tuple[str, str]]:
    yield from _rules_of(Spec, "spec")
    for field in _iter_paths(Spec, build_spec_schema(), "spec"):
        if field.part is not None:
            suffix = "[]" if field.schema["type"] == "array" else ""
            yield from _rules_of(field.part, f"{field.path}{suffix}")


def _rules_of(model: type[ApiModel], path: str) -> Iterator[tuple[str, str]]:
    aliases = dict(iter_fields(model))
    if issubclass(model, OneOf):
        names = ", ".join(f"`{aliases[name]}`" for name in model.union)
        yield path, f"exactly one of {names}"
    for rule in model.rules:
        where = path if rule.field is None else f"{path}.{aliases[rule.field]}"
        yield where, rule.message


def _render_words() -> Iterator[str]:
    for path, words in _WORDS.items():
        yield f"Of `{path}`:"
        yield render_table(("Word", "Meaning"), _iter_words(words))


def _render_conditions() -> Iterator[str]:
    yield render_table(("Condition", "Meaning"), _iter_words(ConditionType))
    for condition, reasons in CONDITION_REASONS.items():
        yield f"Reasons of `{condition}`:"
        yield render_table(("Reason", "Meaning"), _iter_words(reasons))


def _render_events() -> str:
    docs = _read_member_docs(EventReason)
    rows = ((f"`{reason}`", reason.type.value, docs[reason.name]) for reason in EventReason)
    return render_table(("Reason", "Type", "Meaning"), rows)


def _iter_words(words: type[StrEnum]) -> Iterator[tuple[str, ...]]:
    docs = _read_member_docs(words)
    for word in words:
        yield f"`{word}`", docs[word.name]


def _read_member_docs(words: type[StrEnum]) -> dict[str, str]:
    """Return the string below each member, which Python itself drops."""
    source = ast.parse(textwrap.dedent(inspect.getsource(words))).body[0]
    body = source.body if isinstance(source, ast.ClassDef) else []
    docs: dict[str, str] = {}
    for member, text in itertools.pairwise(body):
        match member, text:
            case (
                ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(doc))),
            ):
                docs[name] = " ".join(doc.split())
            case _:
                pass
    return docs


def _render_metrics() -> str:
    head = ("Metric", "From", "Better", "Unit", "Meaning")
    rows = (
        (f"`{name}`", metric.scope.value, metric.direction.value, metric.unit, metric.meaning)
        for name, metric in KNOWN_METRICS.items()
    )
    return render_table(head, rows)


def render_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown, without a newline at its end."""
    lines = [_render_row(head), _render_row(["---"] * len(head))]
    lines += [_render_row([cell.replace("|", r"\|") for cell in row]) for row in rows]
    return "\n".join(lines)


def _render_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
