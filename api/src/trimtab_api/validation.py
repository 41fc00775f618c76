"""From parsed YAML or JSON to an OptimizationJob, or to every finding at once.

The way in for the command line and the trainer. Three passes: types and bounds (pydantic), the
rules that the API server also knows (CEL), and what no schema can say: parameter paths, metric
names and directions.
"""

import difflib
import json
from collections.abc import Iterator, Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from trimtab_api.expectations import describe_expectation
from trimtab_api.findings import Finding, InvalidJobError
from trimtab_api.rules import check_rules, render_value
from trimtab_api.semantics import check_semantics
from trimtab_api.v1alpha1._base import ApiModel
from trimtab_api.v1alpha1.job import OptimizationJob

__all__ = ["parse_job"]

Path = tuple[str | int, ...]


def parse_job(document: object, *, is_stored: bool = False) -> OptimizationJob:
    """Return the job that a parsed document describes.

    Args:
        document: What a YAML or JSON parser gives: mappings, lists and scalars.
        is_stored: Whether an API server has taken it. What is unknown here then belongs to a newer
            definition and is left out; elsewhere it is a slip of the pen.

    Raises:
        InvalidJobError: With every finding of the first pass that has any.
    """
    if not isinstance(document, Mapping):
        raise InvalidJobError(
            (Finding((), render_value(document), "must be a mapping with kind OptimizationJob"),)
        )
    nulls = tuple(_find_nulls(document.get("spec"), ("spec",)))
    if nulls:
        raise InvalidJobError(nulls)
    try:
        # What a cluster says of a job is no part of what is wanted.
        text = json.dumps({key: item for key, item in document.items() if key != "status"})
    except (TypeError, ValueError) as error:
        raise InvalidJobError((Finding((), "", f"must be plain JSON data: {error}"),)) from error
    try:
        job = OptimizationJob.model_validate_json(
            text, strict=True, extra="ignore" if is_stored else None
        )
    except ValidationError as error:
        raise InvalidJobError(_describe_errors(error, document)) from error
    findings = tuple(check_rules(job)) or tuple(check_semantics(job))
    if findings:
        raise InvalidJobError(findings)
    return job


def _find_nulls(value: object, path: Path) -> Iterator[Finding]:
    """Yield a finding for each null: `prune:` would silently mean that nothing is pruned."""
    if value is None and len(path) > 1:
        yield Finding(
            path, "null", "must not be empty: write {} for the defaults, or leave the field out"
        )
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _find_nulls(item, (*path, str(key)))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _find_nulls(item, (*path, index))


def _describe_errors(error: ValidationError, document: object) -> tuple[Finding, ...]:
    found: dict[Path, list[str]] = {}
    values: dict[Path, str] = {}
    for details in error.errors():
        if _counts_only_valid_items(details):
            continue
        path = _existing_path(details, document)
        found.setdefault(path, []).append(_expect(details, path))
        values.setdefault(path, _value_at(details))
    return tuple(
        Finding(path, values[path], " or ".join(dict.fromkeys(expectations)))
        for path, expectations in found.items()
    )


def _counts_only_valid_items(details: ErrorDetails) -> bool:
    """Return whether a list is called too short only because items of it are invalid."""
    return (
        details["type"] == "too_short"
        and isinstance(details["input"], list)
        and len(details["input"]) >= details.get("ctx", {}).get("min_length", 0)
    )


def _existing_path(details: ErrorDetails, document: object) -> Path:
    """Cut what pydantic adds behind the field: the members of a union of scalars."""
    path: list[str | int] = []
    here: object = document
    for part in details["loc"]:
        if isinstance(here, Mapping) and (part in here or details["type"] == "missing"):
            path.append(part)
            here = here.get(part)
        elif isinstance(here, list) and isinstance(part, int):
            path.append(part)
            here = here[part]
        else:
            break
    return tuple(path)


def _value_at(details: ErrorDetails) -> str:
    return "" if details["type"] == "missing" else render_value(details["input"])


def _expect(details: ErrorDetails, path: Path) -> str:
    expectation = describe_expectation(details)
    return expectation + _near_field(path) if details["type"] == "extra_forbidden" else expectation


def _near_field(path: Path) -> str:
    """Name the known fields of the object that holds an unknown one."""
    model: type[ApiModel] | None = OptimizationJob
    for part in path[:-1]:
        model = _model_below(model, part) if model is not None else None
    if model is None:
        return ""
    known = [field.alias or name for name, field in model.model_fields.items()]
    near = difflib.get_close_matches(str(path[-1]), known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{hint or '; known here: ' + ', '.join(known)}"


def _model_below(model: type[ApiModel], part: str | int) -> type[ApiModel] | None:
    if isinstance(part, int):
        return model
    for name, field in model.model_fields.items():
        if part == (field.alias or name):
            return _first_model(field.annotation)
    return None


def _first_model(annotation: object) -> type[ApiModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        model = _first_model(inner)
        if model is not None:
            return model
    return None
