"""What a field should be, in words, from the errors of pydantic.

Called by `validation` for manifests and by `untrusted` for reports.
"""

from typing import get_args

from pydantic_core import ErrorDetails

from trimtab_api.v1alpha1._types import JobName, Uri

__all__ = ["describe_expectation"]


def describe_expectation(details: ErrorDetails) -> str:
    """Return in words what an error of pydantic asks for."""
    context = details.get("ctx", {})
    match details["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "unknown field"
        case "string_pattern_mismatch":
            return _describe_pattern(context["pattern"], details["loc"])
        case "literal_error" | "enum":
            return f"must be {context['expected']}".replace("'", "")
        case "finite_number":
            return "must be a finite number"
        case "string_too_long":
            return f"must have at most {context['max_length']} characters"
        case "too_long" | "too_short":
            bound = context.get("max_length", context.get("min_length"))
            word = "at most" if details["type"] == "too_long" else "at least"
            return f"must have {word} {bound} entries"
        case _:
            return _plain_message(details["msg"])


def _describe_pattern(pattern: str, path: tuple[str | int, ...]) -> str:
    """Return in words what a pattern asks for; those not known here are short enough to be read."""
    if pattern == _pattern_of(Uri):
        return "must begin with s3://, pvc:// or file://, and hold none of @, ? and #"
    if pattern == _pattern_of(JobName):
        # Targets are named by the same pattern, with fewer letters.
        most = ", at most 40" if path == ("metadata", "name") else ""
        return (
            f"must be lower-case letters, digits and '-'{most}, beginning with a letter and not"
            " ending with '-'"
        )
    return f"must match {pattern}"


def _pattern_of(constrained: object) -> str:
    return next(str(entry.pattern) for entry in get_args(constrained)[1:] if entry.pattern)


def _plain_message(message: str) -> str:
    for verbose, plain in (
        ("Input should be a valid ", "must be a "),
        ("Input should be ", "must be "),
        ("greater than or equal to", "at least"),
        ("less than or equal to", "at most"),
        ("greater than", "above"),
        ("less than", "below"),
        ("must be a integer", "must be an integer"),
        ("must be a dictionary", "must be a mapping"),
        ("must be an object", "must be a mapping"),
        ("must be a array", "must be a list"),
    ):
        message = message.replace(verbose, plain)
    return message
