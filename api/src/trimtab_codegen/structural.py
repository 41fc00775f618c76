"""A model of the contract as a structural schema: what an API server takes.

Called by `crd`. pydantic's own schema has references, null options, constants and numeric
exclusive bounds, all of which a CustomResourceDefinition refuses; rules and immutability are not
in it at all. Dict in, dict out; nothing is read or written.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from trimtab_api.v1alpha1._base import ApiModel, OneOf

__all__ = ["Options", "build_schema", "has_mutable_part", "iter_fields", "model_below"]

Schema = dict[str, Any]

# What a CRD schema knows of the keywords that pydantic writes, besides those rewritten here.
_KEPT = (
    "description",
    "type",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minimum",
    "maximum",
)
_UNKNOWN_FIELDS = "x-kubernetes-preserve-unknown-fields"
_SCALARS = {"boolean", "integer", "number", "string"}
_ANY_SCALAR: Schema = {
    _UNKNOWN_FIELDS: True,
    "maxLength": 256,
    "maxItems": 0,
    "maxProperties": 0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How spec and status differ."""

    is_immutable: bool
    """Whether fields that say nothing may not change."""
    has_defaults: bool
    """Whether the API server fills in defaults; in a status that would be an invention."""
    longest_string: int | None = None
    """Bound of strings that have none; None refuses such a string."""
    list_keys: Mapping[type[ApiModel], str] = field(default_factory=dict)
    """Per model the Python name of the field that tells its entries in a list apart."""


@dataclass(frozen=True, slots=True)
class _Source:
    definitions: Mapping[str, Schema]
    models: Mapping[str, type[ApiModel]]
    options: Options


def build_schema(model: type[ApiModel], options: Options) -> Schema:
    """Return the structural schema of a model.

    Raises:
        ValueError: A string, list or map has no bound, or a union is none of scalars.
    """
    document = model.model_json_schema(by_alias=True)
    models = {part.__name__: part for part in _iter_models(model)}
    source = _Source(document.get("$defs", {}), models, options)
    return _rewrite({**document, "$model": model}, source, model.__name__)


def iter_fields(model: type[ApiModel]) -> Iterator[tuple[str, str]]:
    """Yield the Python name and the name in the manifest of each field."""
    for name, info in model.model_fields.items():
        yield name, info.alias or name


def model_below(model: type[ApiModel], name: str) -> type[ApiModel] | None:
    """Return the model that a field or its entries hold, if they hold one."""
    return _first_model(model.model_fields[name].annotation)


def has_mutable_part(model: type[ApiModel]) -> bool:
    """Return whether a field of a model, or of a part of it, may change after creation."""
    return bool(model.mutability) or any(
        has_mutable_part(part)
        for part in (model_below(model, name) for name in model.model_fields)
        if part is not None
    )


def _first_model(annotation: object) -> type[ApiModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        return annotation
    options = (_first_model(inner) for inner in getattr(annotation, "__args__", ()))
    return next((found for found in options if found is not None), None)


def _iter_models(model: type[ApiModel]) -> Iterator[type[ApiModel]]:
    yield model
    for name in model.model_fields:
        part = model_below(model, name)
        if part is not None:
            yield from _iter_models(part)


def _rewrite(node: Schema, source: _Source, path: str) -> Schema:
    node = _resolve(node, source)
    options = [_resolve(option, source) for option in node.get("anyOf", ())]
    options = [option for option in options if option.get("type") != "null"]
    if options:
        node = _merge_options(node, options, path)
    if "const" in node:
        node = {**node, "enum": [node["const"]]}
    schema = {key: node[key] for key in _KEPT if key in node}
    if node.get("x-kubernetes-int-or-string"):
        return {**schema, "x-kubernetes-int-or-string": True}
    if node.get(_UNKNOWN_FIELDS):
        is_object = node.get("type") == "object"
        return {**schema, **({_UNKNOWN_FIELDS: True} if is_object else _ANY_SCALAR)}
    for bound, limit in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if limit in node:
            schema |= {bound: node[limit], limit: True}
    match node.get("type"):
        case "object":
            return {**schema, **_rewrite_object(node, source, path)}
        case "array":
            return {**schema, **_rewrite_array(node, source, path)}
        case "string" if "enum" not in node and "maxLength" not in node:
            return {**schema, "maxLength": _bound_string(source, path)}
        case _:
            return schema


def _resolve(node: Schema, source: _Source) -> Schema:
    """Inline a reference; what stands beside it describes the field and wins."""
    if "$ref" not in node:
        return node
    name = node["$ref"].rpartition("/")[2]
    rest = {key: value for key, value in node.items() if key != "$ref"}
    inlined = {**source.definitions[name], **rest}
    return {**inlined, "$model": source.models[name]} if name in source.models else inlined


def _merge_options(node: Schema, options: list[Schema], path: str) -> Schema:
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    if len(options) == 1:
        return {**options[0], **rest}
    if all("enum" in option for option in options):
        words = [word for option in options for word in option["enum"]]
        return {"type": "string", **rest, "enum": words}
    types = {option.get("type") for option in options}
    if types == {"integer", "string"}:
        bounds = {key: option[key] for option in options for key in option if key in _KEPT}
        del bounds["type"]
        return {**bounds, **rest, "x-kubernetes-int-or-string": True}
    if types <= _SCALARS:
        return {**rest, _UNKNOWN_FIELDS: True}
    raise ValueError(f"{path} must be one type or any scalar but got {options}")


def _bound_string(source: _Source, path: str) -> int:
    if source.options.longest_string is None:
        raise ValueError(f"{path} must have a maxLength but got none")
    return source.options.longest_string


def _rewrite_array(node: Schema, source: _Source, path: str) -> Schema:
    if "maxItems" not in node:
        raise ValueError(f"{path} must have maxItems but got none")
    entry = _resolve(node["items"], source)
    schema: Schema = {"items": _rewrite(entry, source, f"{path}[]")}
    model: type[ApiModel] | None = entry.get("$model")
    if model is None or model not in source.options.list_keys:
        return schema
    key = dict(iter_fields(model))[source.options.list_keys[model]]
    return {
        **schema,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": [key],
    }


def _rewrite_object(node: Schema, source: _Source, path: str) -> Schema:
    model: type[ApiModel] | None = node.get("$model")
    if model is None:
        if "maxProperties" not in node:
            raise ValueError(f"{path} must have maxProperties but got none")
        return {"additionalProperties": _rewrite(_map_value(node), source, f"{path}{{}}")}
    properties = {
        alias: _rewrite_field(model, name, node["properties"][alias], source, f"{path}.{alias}")
        for name, alias in iter_fields(model)
    }
    schema: Schema = {"properties": properties} if properties else {}
    if node.get("required"):
        schema["required"] = list(node["required"])
    rules = list(_rules(model, source.options))
    return {**schema, "x-kubernetes-validations": rules} if rules else schema


def _map_value(node: Schema) -> Schema:
    """Return the schema of a map's values.

    Patterns of keys are left to validation: a structural schema has no word for them, and CEL does
    not see a map of untyped values.
    """
    patterns: dict[str, Schema] = node.get("patternProperties") or {
        "": node["additionalProperties"]
    }
    return next(iter(patterns.values()))


def _rewrite_field(
    model: type[ApiModel], name: str, node: Schema, source: _Source, path: str
) -> Schema:
    schema = _rewrite(node, source, path)
    info = model.model_fields[name]
    default = None if info.is_required() else info.get_default(call_default_factory=True)
    if source.options.has_defaults and default is not None:
        schema["default"] = _plain(default)
    return schema


def _plain(value: object) -> Any:
    """Return a default as plain data; an object with all of its keys, which its own rules read."""
    if isinstance(value, ApiModel):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def _rules(model: type[ApiModel], options: Options) -> Iterator[Schema]:
    aliases = dict(iter_fields(model))
    if issubclass(model, OneOf):
        names = [aliases[name] for name in model.union]
        present = ", ".join(f"has(self.{name})" for name in names)
        yield {
            "rule": f"[{present}].exists_one(x, x)",
            "message": f"must have exactly one of {', '.join(names)}",
        }
    for rule in model.rules:
        field = f"{aliases[rule.field]} " if rule.field is not None else ""
        if rule.cel is not None:
            yield {"rule": rule.cel, "message": field + rule.message}
    # Where nothing of a model may change, the object that holds it compares it whole.
    if options.is_immutable and has_mutable_part(model):
        yield from _transitions(model)


def _transitions(model: type[ApiModel]) -> Iterator[Schema]:
    for name, alias in iter_fields(model):
        if name in model.mutability:
            continue
        part = model_below(model, name)
        rule = f"has(self.{alias}) == has(oldSelf.{alias})"
        if part is None or not has_mutable_part(part):
            rule += f" && (!has(self.{alias}) || self.{alias} == oldSelf.{alias})"
            message = f"{alias} is immutable"
        else:
            message = f"{alias} is immutable in being set or absent"
        yield {"rule": rule, "message": message}
