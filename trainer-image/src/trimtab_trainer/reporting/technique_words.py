"""Techniques, runtimes and devices as the HTML report names them. Pure.

A report does not hold the technique of a candidate: it follows from the spec and the candidate's
id, as `trimtab_api.techniques` made it. Called by the views of candidates, files and targets.
"""

from trimtab_api.reports import CandidateReport
from trimtab_api.stages import StageName
from trimtab_api.techniques import LADDERS, Technique, choose_technique, describe_technique
from trimtab_api.v1alpha1.export import ExportFormat
from trimtab_api.v1alpha1.goals import Runtime, TargetDevice
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.quantize import QuantizeMethod

__all__ = ["DEVICES", "RUNTIMES", "describe_candidate", "name_technique"]

RUNTIMES = {
    Runtime.ONNXRUNTIME: "ONNX Runtime",
    Runtime.TORCH: "PyTorch",
    Runtime.OPENVINO: "OpenVINO",
}

DEVICES = {TargetDevice.CPU: "CPU", TargetDevice.CUDA: "CUDA"}


def describe_candidate(spec: Spec, candidate: CandidateReport, file_format: ExportFormat) -> str:
    """Return in words what a candidate is made of, as a file of a format holds it.

    Args:
        spec: The expanded spec.
        candidate: Any of the run's.
        file_format: What is narrow may differ between formats.
    """
    if candidate.parent is None:
        return "the baseline"
    if candidate.stage != StageName.QUANTIZE:
        return f"pruned from {candidate.parent}"
    suffix = candidate.id.removeprefix(f"{candidate.parent}-")
    words = name_technique(spec, suffix, file_format)
    return words or f"quantized from {candidate.parent}"


def name_technique(spec: Spec, suffix: str, file_format: ExportFormat) -> str:
    """Return in words the technique that ends the ids of candidates so; empty for no technique."""
    found = (known for known in _list_techniques(spec) if known.suffix == suffix)
    technique = next(found, None)
    return describe_technique(technique, file_format) if technique else ""


def _list_techniques(spec: Spec) -> list[Technique]:
    quantize = spec.stages.quantize
    if quantize is not None and quantize.method is not QuantizeMethod.AUTO:
        return [choose_technique(quantize)]
    return [technique for ladder in LADDERS.values() for technique in ladder]
