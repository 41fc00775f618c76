"""What `trimtab plan` says of pruning and quantization: lines about an expanded spec.

Called by `plans`. How many layers a network has is not known here, so costs are given per layer.
"""

from trimtab_api.techniques import (
    LINEAR_SHARE,
    Technique,
    can_run,
    describe_technique,
    is_worth_building,
    plan_formats,
    plan_techniques,
)
from trimtab_api.v1alpha1.goals import TargetDevice
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.prune import Allocation, Amount, Granularity, Importance, Prune
from trimtab_api.v1alpha1.quantize import QuantizeMethod

__all__ = ["describe_pruning", "describe_scan", "describe_techniques"]

_MEASURES = {
    "ratio": "channels",
    "params_reduction": "parameters",
    "flops_reduction": "FLOPs",
}


def describe_pruning(spec: Spec) -> str:
    """Return what is cut and how; empty where nothing is pruned."""
    prune = spec.stages.prune
    if prune is None:
        return ""
    if prune.amount is None:
        return f"none: profile {spec.targets[0].profile} skips it where no amount is given"
    schedule = prune.schedule
    steps = "1 step" if schedule.steps == 1 else f"{schedule.steps} steps ({schedule.curve})"
    how = f"{prune.granularity} by {prune.importance}, spread {prune.allocation}"
    text = f"{how}: {_describe_amount(prune, prune.amount)} in {steps}"
    if prune.round_to is None or prune.round_to == 1:
        return text
    return f"{text}, widths in multiples of {prune.round_to}"


def _describe_amount(prune: Prune, amount: Amount) -> str:
    kind = amount.chosen()
    masked = kind == "ratio" and prune.granularity is Granularity.WEIGHTS
    of = "weights" if masked else _MEASURES[kind]
    return f"{100 * getattr(amount, kind):g} % of the {of}"


def describe_scan(spec: Spec) -> str:
    """Return what measuring sensitivities costs; empty where none is measured."""
    prune = spec.stages.prune
    if prune is None or prune.amount is None:
        return ""
    parts = []
    scan = prune.sensitivity
    if prune.allocation is Allocation.SENSITIVITY:
        parts.append(f"{len(scan.ratios)} evaluation(s) of {scan.samples} samples per layer")
    if prune.importance in {Importance.TAYLOR, Importance.FISHER}:
        parts.append(f"gradients of {scan.samples} samples per step")
    return ", ".join(parts)


def describe_techniques(spec: Spec) -> list[str]:
    """Return a line for each technique that float models are quantized with."""
    techniques = plan_techniques(spec, linear_share=None)
    return [_describe_technique(spec, technique) for technique in techniques]


def _describe_technique(spec: Spec, technique: Technique) -> str:
    formats: dict[str, list[str]] = {}
    for entry in plan_formats(spec):
        if can_run(technique, entry, TargetDevice.CPU):
            formats.setdefault(describe_technique(technique, entry), []).append(entry)
    kinds = [f"{words} ({', '.join(names)})" for words, names in formats.items()]
    quantize = spec.stages.quantize
    is_ladder = quantize is not None and quantize.method is QuantizeMethod.AUTO
    if is_ladder and not is_worth_building(technique, 0.0):
        kinds.append(f"only if linear layers hold {100 * LINEAR_SHARE:.0f} % of the FLOPs")
    return f"{technique.suffix}: {'; '.join(kinds)}"
