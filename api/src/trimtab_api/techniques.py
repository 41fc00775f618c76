"""Quantization techniques: what each is, which runtime runs it, which of them a job builds. Pure.

The plan, the rules and the stages of the trainer call it. How good a technique turns out on a
network is measured; nothing here foretells it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import assert_never

from trimtab_api.v1alpha1.export import ExportFormat
from trimtab_api.v1alpha1.goals import Profile, Runtime, Target, TargetDevice
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.quantize import ActivationDtype, Quantize, QuantizeMethod, WeightDtype

__all__ = [
    "DENSE",
    "LADDERS",
    "LINEAR_SHARE",
    "MOST_CANDIDATES",
    "PRUNED",
    "Technique",
    "can_run",
    "choose_technique",
    "describe_technique",
    "is_worth_building",
    "list_ladder",
    "name_candidate",
    "plan_candidates",
    "plan_formats",
    "plan_target_formats",
    "plan_techniques",
    "runs_on",
    "takes",
]

DENSE = "dense"
"""The id of the float model as it was trained, which is the baseline."""

PRUNED = "pruned"
"""The id of the float model that was pruned."""

LINEAR_SHARE = 0.5
"""From this share of the FLOPs in linear layers on, a ladder's Dynamic int8 is built."""

MOST_CANDIDATES = 8
"""How many candidates a job builds at most."""


@dataclass(frozen=True, slots=True)
class Technique:
    """One way to store and compute a network in fewer bits."""

    method: QuantizeMethod
    """Never Auto."""
    weights: WeightDtype
    activations: ActivationDtype | None = None
    """None, with Cast: 16 bits where the runtime computes in them, else fp32."""

    @property
    def suffix(self) -> str:
        """Return what names the technique in the ids of candidates.

        Raises:
            ValueError: The method is Auto, which is no technique.
        """
        match self.method:
            case QuantizeMethod.STATIC:
                return "int8"
            case QuantizeMethod.DYNAMIC:
                return "int8-dynamic"
            case QuantizeMethod.WEIGHT_ONLY:
                return "int8-weights"
            case QuantizeMethod.CAST:
                return self.weights.value
            case QuantizeMethod.AUTO:
                raise ValueError("a technique must have a method, Auto stands for a choice of them")
            case _:
                assert_never(self.method)

    def in_format(self, file_format: ExportFormat) -> "Technique":
        """Return the technique with the activations that it has in a file format."""
        if self.activations is not None:
            return self
        narrow = file_format is ExportFormat.PT2 or (
            file_format is ExportFormat.OPENVINO and self.weights is WeightDtype.BF16
        )
        kind = ActivationDtype(self.weights.value) if narrow else ActivationDtype.FP32
        return replace(self, activations=kind)


_STATIC = Technique(QuantizeMethod.STATIC, WeightDtype.INT8, ActivationDtype.UINT8)
_DYNAMIC = Technique(QuantizeMethod.DYNAMIC, WeightDtype.INT8, ActivationDtype.UINT8)
_FP16 = Technique(QuantizeMethod.CAST, WeightDtype.FP16)
_BF16 = Technique(QuantizeMethod.CAST, WeightDtype.BF16)

LADDERS: dict[Profile, tuple[Technique, ...]] = {
    Profile.MOBILE: (_STATIC, _FP16),
    Profile.CPU_EDGE: (_STATIC, _DYNAMIC),
    Profile.GPU_EDGE: (_FP16, _STATIC),
    Profile.CPU_SERVER: (_STATIC, _DYNAMIC),
    Profile.GPU_SERVER: (_BF16, _FP16),
}
"""What Auto builds for a profile, in this order."""

_FORMATS = {
    Runtime.ONNXRUNTIME: ExportFormat.ONNX,
    Runtime.TORCH: ExportFormat.PT2,
    Runtime.OPENVINO: ExportFormat.OPENVINO,
}


def takes(runtime: Runtime) -> ExportFormat:
    """Return the file format that a runtime takes."""
    return _FORMATS[runtime]


def can_run(technique: Technique, file_format: ExportFormat, device: TargetDevice) -> bool:
    """Return whether a technique can be written in a format and run from it on a device.

    Raises:
        ValueError: The technique's method is Auto.
    """
    if file_format is ExportFormat.OPENVINO and device is TargetDevice.CUDA:
        return False
    match technique.method:
        case QuantizeMethod.STATIC | QuantizeMethod.WEIGHT_ONLY:
            return file_format is not ExportFormat.PT2
        case QuantizeMethod.DYNAMIC:
            return file_format is ExportFormat.ONNX
        case QuantizeMethod.CAST:
            return _can_cast(technique.in_format(file_format), file_format)
        case QuantizeMethod.AUTO:
            raise ValueError("a technique must have a method, Auto stands for a choice of them")
        case _:
            assert_never(technique.method)


def _can_cast(technique: Technique, file_format: ExportFormat) -> bool:
    weights, activations = technique.weights, technique.activations
    match file_format:
        case ExportFormat.ONNX:
            return activations is ActivationDtype.FP32
        case ExportFormat.OPENVINO:
            return (weights, activations) in {
                (WeightDtype.FP16, ActivationDtype.FP32),
                (WeightDtype.BF16, ActivationDtype.BF16),
            }
        case ExportFormat.PT2:
            return activations is not None and activations.value == weights.value
        case _:
            assert_never(file_format)


def describe_technique(technique: Technique, file_format: ExportFormat) -> str:
    """Return in words what is narrow in a file of a technique."""
    match technique.method:
        case QuantizeMethod.STATIC:
            return "8-bit weights and activations"
        case QuantizeMethod.DYNAMIC:
            return "8-bit linear layers, ranges taken at each inference"
        case QuantizeMethod.WEIGHT_ONLY:
            return "8-bit weights, fp32 compute"
        case QuantizeMethod.CAST:
            kind = technique.in_format(file_format).activations
            return f"16-bit weights, {kind} compute"
        case QuantizeMethod.AUTO:
            raise ValueError("a technique must have a method, Auto stands for a choice of them")
        case _:
            assert_never(technique.method)


def choose_technique(quantize: Quantize) -> Technique:
    """Return the technique that a manifest asks for, with the types that it leaves open.

    Raises:
        ValueError: The method is Auto.
    """
    weights, activations = quantize.weights, quantize.activations
    match quantize.method:
        case QuantizeMethod.STATIC | QuantizeMethod.DYNAMIC:
            kind = activations or ActivationDtype.UINT8
            return Technique(quantize.method, weights or WeightDtype.INT8, kind)
        case QuantizeMethod.WEIGHT_ONLY:
            kind = activations or ActivationDtype.FP32
            return Technique(quantize.method, weights or WeightDtype.INT8, kind)
        case QuantizeMethod.CAST:
            bf16 = weights is None and activations is ActivationDtype.BF16
            narrow = WeightDtype.BF16 if bf16 else WeightDtype.FP16
            return Technique(quantize.method, weights or narrow, activations)
        case QuantizeMethod.AUTO:
            raise ValueError("a technique must have a method, Auto stands for a choice of them")
        case _:
            assert_never(quantize.method)


def runs_on(technique: Technique, target: Target) -> bool:
    """Return whether an expanded target's runtime runs a technique.

    Raises:
        ValueError: The target is not expanded.
    """
    if target.runtime is None or target.device is None:
        raise ValueError(f"target {target.name} must be expanded: it has no runtime or device")
    return can_run(technique, takes(target.runtime), target.device)


def list_ladder(target: Target) -> tuple[Technique, ...]:
    """Return all rungs of an expanded target's profile, those that do not apply included.

    Raises:
        ValueError: The target is not expanded.
    """
    if target.profile is None:
        raise ValueError(f"target {target.name} must be expanded: it has no profile")
    return LADDERS[target.profile]


def is_worth_building(technique: Technique, linear_share: float | None) -> bool:
    """Return whether a rung of a ladder makes sense for a network.

    Args:
        technique: The rung.
        linear_share: Share of the FLOPs in linear layers; None where it is not known yet.
    """
    if technique.method is not QuantizeMethod.DYNAMIC or linear_share is None:
        return True
    return linear_share >= LINEAR_SHARE


def plan_techniques(spec: Spec, *, linear_share: float | None) -> tuple[Technique, ...]:
    """Return what stage quantize builds of each float model: one technique, or all ladders'.

    Args:
        spec: An expanded spec.
        linear_share: Share of the FLOPs in linear layers; None where it is not known yet, which
            leaves in what depends on it.
    """
    quantize = spec.stages.quantize
    if quantize is None:
        return ()
    if quantize.method is not QuantizeMethod.AUTO:
        return (choose_technique(quantize),)
    return tuple(
        dict.fromkeys(
            technique
            for target in spec.targets
            for technique in list_ladder(target)
            if runs_on(technique, target) and is_worth_building(technique, linear_share)
        )
    )


def plan_target_formats(spec: Spec) -> tuple[ExportFormat, ...]:
    """Return the formats that the targets' runtimes take, the first target's first.

    Args:
        spec: An expanded spec.
    """
    needed = (takes(target.runtime) for target in spec.targets if target.runtime is not None)
    return tuple(dict.fromkeys(needed))


def plan_formats(spec: Spec) -> tuple[ExportFormat, ...]:
    """Return the formats that models are written in: those of targets, then the manifest's.

    Args:
        spec: An expanded spec.
    """
    return tuple(dict.fromkeys((*plan_target_formats(spec), *spec.stages.export.formats)))


def name_candidate(parent: str, technique: Technique) -> str:
    """Return the id of the quantized copy of a float model."""
    return f"{parent}-{technique.suffix}"


def plan_candidates(spec: Spec, *, linear_share: float | None) -> tuple[str, ...]:
    """Return the ids of all models that are built and measured, at most 8.

    Float models come first, then copies of the pruned one, then copies of the dense one; the last
    ones fall away where there are too many.

    Args:
        spec: An expanded spec.
        linear_share: As in `plan_techniques`.
    """
    return tuple(_list_candidates(spec, linear_share))[:MOST_CANDIDATES]


def _list_candidates(spec: Spec, linear_share: float | None) -> Iterator[str]:
    prune = spec.stages.prune
    floats = [PRUNED, DENSE] if prune is not None and prune.amount is not None else [DENSE]
    yield from reversed(floats)
    techniques = plan_techniques(spec, linear_share=linear_share)
    for parent in floats:
        for technique in techniques:
            yield name_candidate(parent, technique)
