"""Models of the contract as the plain data of a manifest. Used by the builders of this package."""

from typing import Any

from trimtab_api.v1alpha1._base import ApiModel

__all__ = ["to_plain"]


def to_plain(model: ApiModel) -> dict[str, Any]:
    """Return what was written of a model, spelt as in a manifest."""
    return model.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
