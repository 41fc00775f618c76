"""Stage export: the formats of the artifacts."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trimtab_api.v1alpha1._base import ApiModel

__all__ = ["Export", "ExportFormat"]


class ExportFormat(StrEnum):
    """A file format."""

    ONNX = "onnx"


class Export(ApiModel):
    """Self-contained files; each is evaluated again after it was written."""

    formats: Annotated[tuple[ExportFormat, ...], Field(min_length=1, max_length=1)] = (
        ExportFormat.ONNX,
    )
    """onnx."""
    opset: Annotated[int, Field(ge=18, le=23)] = 18
    """ONNX operator set."""
