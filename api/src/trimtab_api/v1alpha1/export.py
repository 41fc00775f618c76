"""Stage export: the formats of the artifacts."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab_api.v1alpha1._base import ApiModel, Rule

__all__ = ["Export", "ExportFormat"]


class ExportFormat(StrEnum):
    """A file format."""

    ONNX = "onnx"
    """For ONNX Runtime and most others."""
    PT2 = "pt2"
    """A program of torch.export, for PyTorch."""
    OPENVINO = "openvino"
    """OpenVINO IR: an .xml file with its .bin beside it."""


class Export(ApiModel):
    """Self-contained files; each is evaluated again after it was written."""

    formats: Annotated[tuple[ExportFormat, ...], Field(min_length=1, max_length=3)] = (
        ExportFormat.ONNX,
    )
    """onnx, pt2 and openvino; the formats that the targets' runtimes need are added."""
    opset: Annotated[int, Field(ge=18, le=23)] = 18
    """ONNX operator set."""
    dynamic_batch: bool = True
    """Whether files take any number of samples; else the batch size of the targets, which must be the same for all."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.formats.all(f, self.formats.exists_one(g, g == f))",
            check=lambda self: len(set(self.formats)) == len(self.formats),
            message="must name each format once",
            field="formats",
        ),
    )
