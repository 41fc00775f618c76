"""From text that a job's own pods wrote to a model, or to one line that says why not.

Called by `progress`. Whoever runs code there can write anything: what passes here has strings and
numbers that a status takes, no character that cannot be read, and no entry twice.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json, to_json

from trimtab_api.expectations import describe_expectation
from trimtab_api.findings import Finding
from trimtab_api.rules import check_rules, render_value
from trimtab_api.texts import clean_text, shorten
from trimtab_api.v1alpha1._base import ApiModel

__all__ = ["LONGEST_STRING", "ReportInvalidError", "parse_untrusted"]

LONGEST_STRING = 1024
"""Characters of any string of a status."""
_LARGEST_INTEGER = 2**63 - 1
# Differences and sums of such numbers are finite.
_LARGEST_NUMBER = 1e150

Path = tuple[str | int, ...]
Model = TypeVar("Model", bound=ApiModel)


class ReportInvalidError(ValueError):
    """A key of the report ConfigMap cannot be used; says in one line what is wrong with it."""


def parse_untrusted(text: str, model: type[Model], *, key: str, limit: int) -> Model:
    """Return the model that a JSON text holds; fields that it does not know are ignored.

    Args:
        text: Of any size and content.
        model: What it should be.
        key: What to call it in the message.
        limit: Most bytes.

    Raises:
        ReportInvalidError: It is too large, no JSON, or does not fit the model.
    """
    data = text.encode(errors="replace")
    if len(data) > limit:
        raise ReportInvalidError(f"{key} must have at most {limit} bytes but has {len(data)}")
    try:
        document = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise ReportInvalidError(shorten(f"{key} must be JSON: {error}")) from error
    if not isinstance(document, Mapping):
        raise ReportInvalidError(f"{key} must be an object but is {render_value(document)}")
    finding = next(_find_excess(document, ()), None)
    if finding is None:
        try:
            parsed = model.model_validate_json(
                to_json(_clean(document)), strict=True, extra="ignore"
            )
        except ValidationError as error:
            finding = _describe(error.errors()[0])
        else:
            finding = next(check_rules(parsed), None)
            if finding is None:
                return parsed
    raise ReportInvalidError(shorten(f"{key}: {finding.describe()}"))


def _describe(details: ErrorDetails) -> Finding:
    value = "" if details["type"] == "missing" else render_value(details["input"])
    return Finding(tuple(details["loc"]), value, describe_expectation(details))


def _find_excess(value: object, path: Path) -> Iterator[Finding]:
    """Yield what no schema of a status takes, wherever it stands."""
    match value:
        case str() if len(value) > LONGEST_STRING:
            yield Finding(path, "", f"must have at most {LONGEST_STRING} characters")
        case int() if abs(value) > _LARGEST_INTEGER:
            yield Finding(path, "", "must be an integer of 64 bits")
        case float() if not abs(value) <= _LARGEST_NUMBER:
            yield Finding(path, str(value), f"must be a finite number up to {_LARGEST_NUMBER:g}")
        case Mapping():
            for key, item in value.items():
                yield from _find_excess(key, path)
                yield from _find_excess(item, (*path, clean_text(key)))
        case list():
            for index, item in enumerate(value):
                yield from _find_excess(item, (*path, index))
        case _:
            return


def _clean(value: Any) -> Any:
    match value:
        case str():
            return clean_text(value)
        case Mapping():
            return {clean_text(key): _clean(item) for key, item in value.items()}
        case list():
            return [_clean(item) for item in value]
        case _:
            return value
