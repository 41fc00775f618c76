"""What the targets of a job can run: runtimes on devices, and the technique that is asked for.

Called by `semantics`. It judges the expanded job, since a profile chooses what is not given, and
blames the field that the manifest has.
"""

import json
from collections.abc import Iterator

from trimtab_api.defaults import DETECTED_PROFILE, expand_job
from trimtab_api.findings import Finding
from trimtab_api.techniques import (
    Technique,
    can_run,
    plan_formats,
    plan_techniques,
    runs_on,
    takes,
)
from trimtab_api.v1alpha1.export import ExportFormat
from trimtab_api.v1alpha1.goals import Runtime, Target, TargetDevice
from trimtab_api.v1alpha1.job import OptimizationJob, Spec
from trimtab_api.v1alpha1.quantize import Quantize, QuantizeMethod

__all__ = ["check_targets"]

_AT_QUANTIZE = ("spec", "stages", "quantize")


def check_targets(job: OptimizationJob) -> Iterator[Finding]:
    """Yield a finding for each target or technique of a valid job that nothing could run."""
    spec = expand_job(job, cores=1, detected=DETECTED_PROFILE).spec
    targets = list(_check_devices(job.spec.targets, spec.targets))
    yield from targets
    yield from _check_batches(spec)
    quantize = spec.stages.quantize
    if quantize is None or targets:
        return
    yield from _check_kept_layers(quantize, spec)
    techniques = plan_techniques(spec, linear_share=None)
    if any(runs_on(technique, target) for technique in techniques for target in spec.targets):
        return
    yield _blame(quantize, techniques, spec.targets)


def _check_devices(written: tuple[Target, ...], expanded: tuple[Target, ...]) -> Iterator[Finding]:
    for index, target in enumerate(expanded):
        if target.runtime is Runtime.OPENVINO and target.device is TargetDevice.CUDA:
            given = written[index].device is not None
            field, value = ("device", '"cuda"') if given else ("runtime", '"openvino"')
            yield Finding(
                ("spec", "targets", index, field),
                value,
                "must be cpu with openvino, which runs on no GPU here"
                if given
                else f"must be onnxruntime or torch on cuda, the device of profile {target.profile}",
            )


def _check_batches(spec: Spec) -> Iterator[Finding]:
    sizes = [target.batch_size for target in spec.targets]
    if spec.stages.export.dynamic_batch or len(set(sizes)) == 1:
        return
    named = ", ".join(f"{target.name} {target.batch_size}" for target in spec.targets)
    yield Finding(
        ("spec", "stages", "export", "dynamicBatch"),
        "false",
        f"must be true where the batch sizes of targets differ: {named}",
    )


def _check_kept_layers(quantize: Quantize, spec: Spec) -> Iterator[Finding]:
    """Cast alone writes such files of the whole network; within Auto other rungs are left."""
    if quantize.method is not QuantizeMethod.CAST or not quantize.keep_float:
        return
    if ExportFormat.OPENVINO in plan_formats(spec):
        yield Finding(
            (*_AT_QUANTIZE, "keepFloat"),
            json.dumps(list(quantize.keep_float)),
            "must be empty with Cast where a target or stages.export.formats wants openvino, which"
            " stores the weights of all layers in 16 bits",
        )


def _blame(
    quantize: Quantize, techniques: tuple[Technique, ...], targets: tuple[Target, ...]
) -> Finding:
    have = ", ".join(dict.fromkeys(f"{target.runtime} on {target.device}" for target in targets))
    if quantize.method is QuantizeMethod.AUTO:
        expectation = f"must be Cast: no rung of the targets' ladders runs in {have}"
        return Finding((*_AT_QUANTIZE, "method"), '"Auto"', expectation)
    (technique,) = techniques
    able = " and ".join(
        runtime.value for runtime in Runtime if can_run(technique, takes(runtime), TargetDevice.CPU)
    )
    field = "activations" if technique.method is QuantizeMethod.CAST else "method"
    value = technique.activations if field == "activations" else technique.method
    return Finding(
        (*_AT_QUANTIZE, field),
        f'"{value}"',
        f"must be what a target runs: {able} can, {have} cannot",
    )
