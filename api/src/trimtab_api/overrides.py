"""A trial's parameters put into the spec: each replaces the field that its name is the path of.

Used by the semantic checks, by the plan and by the trainer, so that all agree what a trial runs.
"""

import json
from collections.abc import Mapping
from typing import Any

from trimtab_api.v1alpha1._types import Scalar
from trimtab_api.v1alpha1.job import Spec

__all__ = ["apply_parameters"]


def apply_parameters(spec: Spec, parameters: Mapping[str, Scalar]) -> Spec:
    """Return the spec with these fields replaced.

    Args:
        spec: The spec; it has stages.train where a name begins with `train.`.
        parameters: Path of the field (`train.learningRate`, `model.args.width`) → value.

    Raises:
        KeyError: A path is not a field.
        pydantic.ValidationError: A value does not fit its field.
    """
    document = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    for name, value in parameters.items():
        _replace(document, name, value)
    return Spec.model_validate_json(json.dumps(document), strict=True)


def _replace(document: dict[str, Any], name: str, value: Scalar) -> None:
    head, *middle, last = name.split(".")
    here: dict[str, Any] = document["stages"] if head == "train" else document
    here = here[head]
    if head == "train":
        _require_train_field(middle, last)
    for part in middle:
        here = here.setdefault(part, {})
    if last == "steps" and head == "train":
        here.pop("epochs", None)
    here[last] = value


def _require_train_field(middle: list[str], last: str) -> None:
    model: Any = Spec.model_fields["stages"].annotation
    model = _field_model(model, "train")
    for part in middle:
        model = _field_model(model, part)
    names = {field.alias for field in model.model_fields.values()} if model else set()
    if last not in names:
        raise KeyError(last)


def _field_model(model: Any, alias: str) -> Any:
    for field in model.model_fields.values() if model else ():
        if field.alias == alias:
            options = [field.annotation, *getattr(field.annotation, "__args__", ())]
            return next((option for option in options if hasattr(option, "model_fields")), None)
    return None
