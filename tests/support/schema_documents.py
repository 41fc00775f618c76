"""Random documents drawn from a structural schema: such as it takes, and such with one fault."""

import copy
import re
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

__all__ = ["any_json", "broken_documents", "documents"]

_UNION = re.compile(r"^\[((?:has\(self\.\w+\)(?:, )?)+)\]\.exists_one\(x, x\)$")
_MOST_ENTRIES = 3
_NUMBERS = 1e6

Schema = Mapping[str, Any]


def any_json() -> st.SearchStrategy[Any]:
    """Return small values of every JSON type, and the numbers that JSON has no word for."""
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
        ),
        max_leaves=6,
    )


def documents(
    schema: Schema, known: Mapping[str, st.SearchStrategy[Any]], path: str = ""
) -> st.SearchStrategy[Any]:
    """Return documents whose types, bounds and unions the schema takes.

    Args:
        schema: A structural schema.
        known: Dotted path without indices, or its last part → what stands there, for fields
            whose values a schema leaves open: names that must lead somewhere.
        path: Where the schema stands.
    """
    fitting = known.get(path, known.get(path.rpartition(".")[2]))
    if fitting is not None:
        return fitting
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "object" if "additionalProperties" in schema:
            return _maps(schema, known, path)
        case "object":
            return _objects(schema, known, path)
        case "array":
            least, most = schema.get("minItems", 0), schema["maxItems"]
            entries = documents(schema["items"], known, path)
            return st.lists(entries, min_size=least, max_size=min(most, _MOST_ENTRIES))
        case "string":
            return _strings(schema)
        case "integer":
            return st.integers(schema.get("minimum"), schema.get("maximum"))
        case "number":
            return _numbers(schema)
        case "boolean":
            return st.booleans()
        case _:
            return st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=8)


def _maps(
    schema: Schema, known: Mapping[str, st.SearchStrategy[Any]], path: str
) -> st.SearchStrategy[dict[str, Any]]:
    values = documents(schema["additionalProperties"], known, f"{path}{{}}")
    names = st.from_regex(r"[a-z]{1,6}", fullmatch=True)
    least = schema.get("minProperties", 0)
    return st.dictionaries(names, values, min_size=least, max_size=_MOST_ENTRIES)


def _strings(schema: Schema) -> st.SearchStrategy[str]:
    if "pattern" not in schema:
        return st.text(min_size=schema.get("minLength", 0), max_size=8)
    drawn = st.from_regex(schema["pattern"].replace("$", r"\Z"))
    return drawn.filter(lambda text: len(text) <= schema["maxLength"])


def _objects(
    schema: Schema, known: Mapping[str, st.SearchStrategy[Any]], path: str
) -> st.SearchStrategy[dict[str, Any]]:
    fields = {
        name: documents(child, known, f"{path}.{name}" if path else name)
        for name, child in schema.get("properties", {}).items()
    }
    siblings = _union_of(schema)
    required = {name: fields[name] for name in schema.get("required", ())}
    optional = {
        name: fields[name] for name in fields if name not in required and name not in siblings
    }
    plain = st.fixed_dictionaries(required, optional=optional)
    if not siblings:
        return plain
    chosen = st.one_of([st.fixed_dictionaries({name: fields[name]}) for name in siblings])
    return st.builds(lambda rest, one: {**rest, **one}, plain, chosen)


def _union_of(schema: Schema) -> list[str]:
    """Return the fields of which the schema's rule wants exactly one."""
    for rule in schema.get("x-kubernetes-validations", ()):
        found = _UNION.match(rule["rule"])
        if found is not None:
            return re.findall(r"self\.(\w+)", found[1])
    return []


def _numbers(schema: Schema) -> st.SearchStrategy[float]:
    return st.floats(
        max(schema.get("minimum", -_NUMBERS), -_NUMBERS),
        min(schema.get("maximum", _NUMBERS), _NUMBERS),
        exclude_min=schema.get("exclusiveMinimum", False),
        exclude_max=schema.get("exclusiveMaximum", False),
        allow_subnormal=False,
    )


@st.composite
def broken_documents(draw: st.DrawFn, whole: st.SearchStrategy[Any]) -> Any:
    """Return documents of which one part was replaced by any JSON value, or taken out."""
    document = copy.deepcopy(draw(whole))  # strategies hand out shared values
    here: Any = document
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        key = draw(st.sampled_from(keys))
        inner = here[key]
        if not (isinstance(inner, dict | list) and inner) or draw(st.booleans()):
            break
        here = inner
    if draw(st.booleans()):
        here[key] = draw(any_json())
    else:
        del here[key]
    return document
