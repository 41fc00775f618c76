"""Which technique runs where, and what a job builds, follow from the manifest and one figure."""

from collections.abc import Mapping

import pytest

from manifest_edits import edit_manifest
from trimtab_api.defaults import expand_job
from trimtab_api.techniques import (
    LADDERS,
    Technique,
    can_run,
    choose_technique,
    describe_technique,
    name_candidate,
    plan_candidates,
    plan_formats,
    plan_techniques,
    runs_on,
    takes,
)
from trimtab_api.v1alpha1.export import ExportFormat
from trimtab_api.v1alpha1.goals import Profile, Runtime, Target, TargetDevice
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.quantize import ActivationDtype, Quantize, QuantizeMethod, WeightDtype
from trimtab_api.validation import parse_job

EVERY_PROFILE = [{"name": f"t{index}", "profile": profile} for index, profile in enumerate(Profile)]


def make_spec(*targets: Mapping[str, object], **stages: object) -> Spec:
    edits = {
        "spec.constraints": [],
        "spec.targets": list(targets) or [{"name": "edge", "profile": "cpu-edge"}],
        **{f"spec.stages.{name}": stage for name, stage in stages.items()},
    }
    return expand_job(parse_job(edit_manifest(edits)), cores=2, detected=Profile.CPU_SERVER).spec


def make_technique(method: str, weights: str, activations: str | None = None) -> Technique:
    kind = None if activations is None else ActivationDtype(activations)
    return Technique(QuantizeMethod(method), WeightDtype(weights), kind)


def suffixes(spec: Spec, linear_share: float | None = 0.0) -> list[str]:
    return [entry.suffix for entry in plan_techniques(spec, linear_share=linear_share)]


@pytest.mark.parametrize(
    ("technique", "formats"),
    [
        (("Static", "int8", "uint8"), {"onnx", "openvino"}),
        (("Static", "int8", "int8"), {"onnx", "openvino"}),
        (("Dynamic", "int8", "uint8"), {"onnx"}),
        (("WeightOnly", "int8", "fp32"), {"onnx", "openvino"}),
        (("Cast", "fp16", "fp32"), {"onnx", "openvino"}),
        (("Cast", "bf16", "fp32"), {"onnx"}),
        (("Cast", "fp16", "fp16"), {"pt2"}),
        (("Cast", "bf16", "bf16"), {"pt2", "openvino"}),
        (("Cast", "fp16"), {"onnx", "openvino", "pt2"}),
        (("Cast", "bf16"), {"onnx", "openvino", "pt2"}),
    ],
)
def test_a_technique_is_written_in_the_formats_that_run_it(
    technique: tuple[str, ...], formats: set[str]
) -> None:
    made = make_technique(*technique)
    assert {entry for entry in ExportFormat if can_run(made, entry, TargetDevice.CPU)} == formats


def test_openvino_runs_on_no_gpu() -> None:
    for ladder in LADDERS.values():
        for technique in ladder:
            assert not can_run(technique, ExportFormat.OPENVINO, TargetDevice.CUDA)


@pytest.mark.parametrize(
    ("weights", "file_format", "activations"),
    [
        ("fp16", "onnx", "fp32"),
        ("bf16", "onnx", "fp32"),
        ("fp16", "pt2", "fp16"),
        ("bf16", "pt2", "bf16"),
        ("fp16", "openvino", "fp32"),
        ("bf16", "openvino", "bf16"),
    ],
)
def test_a_cast_computes_as_its_runtime_does(
    weights: str, file_format: str, activations: str
) -> None:
    form = ExportFormat(file_format)
    assert make_technique("Cast", weights).in_format(form).activations == activations


def test_sixteen_bits_that_are_computed_wide_are_called_so() -> None:
    half = make_technique("Cast", "fp16")
    assert describe_technique(half, ExportFormat.ONNX) == "16-bit weights, fp32 compute"
    assert describe_technique(half, ExportFormat.PT2) == "16-bit weights, fp16 compute"


def test_every_technique_has_a_name_of_its_own() -> None:
    made = {
        make_technique("Static", "int8", "uint8"): "pruned-int8",
        make_technique("Dynamic", "int8", "uint8"): "pruned-int8-dynamic",
        make_technique("WeightOnly", "int8", "fp32"): "pruned-int8-weights",
        make_technique("Cast", "fp16"): "pruned-fp16",
        make_technique("Cast", "bf16"): "pruned-bf16",
    }
    assert {entry: name_candidate("pruned", entry) for entry in made} == made


@pytest.mark.parametrize(
    "ask",
    [
        lambda auto: auto.suffix,
        lambda auto: can_run(auto, ExportFormat.ONNX, TargetDevice.CPU),
        lambda auto: describe_technique(auto, ExportFormat.ONNX),
        lambda _: choose_technique(Quantize()),
    ],
)
def test_auto_is_no_technique(ask: object) -> None:
    assert callable(ask)
    with pytest.raises(ValueError, match="Auto stands for a choice"):
        ask(make_technique("Auto", "int8"))


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("mobile", ["int8", "fp16"]),
        ("cpu-edge", ["int8"]),
        ("gpu-edge", ["fp16", "int8"]),
        ("cpu-server", ["int8"]),
        ("gpu-server", ["bf16", "fp16"]),
    ],
)
def test_each_profile_has_a_ladder_of_its_own(profile: str, expected: list[str]) -> None:
    assert suffixes(make_spec({"name": "edge", "profile": profile})) == expected


@pytest.mark.parametrize(
    ("linear_share", "built"), [(None, True), (1.0, True), (0.5, True), (0.49, False), (0.0, False)]
)
def test_a_ladder_has_dynamic_only_for_networks_of_linear_layers(
    linear_share: float | None, *, built: bool
) -> None:
    assert ("int8-dynamic" in suffixes(make_spec(), linear_share)) is built


def test_dynamic_that_is_asked_for_is_built_whatever_the_network_is() -> None:
    assert suffixes(make_spec(quantize={"method": "Dynamic"})) == ["int8-dynamic"]


def test_rungs_that_a_runtime_does_not_run_are_left_out() -> None:
    openvino = {"name": "edge", "profile": "cpu-edge", "runtime": "openvino"}
    assert suffixes(make_spec(openvino), 1.0) == ["int8"]
    torch = {"name": "edge", "profile": "mobile", "runtime": "torch"}
    assert suffixes(make_spec(torch)) == ["fp16"]


def test_the_ladders_of_all_targets_are_built_once() -> None:
    spec = make_spec(*EVERY_PROFILE)
    assert suffixes(spec, None) == ["int8", "fp16", "int8-dynamic", "bf16"]


def test_formats_are_those_of_the_targets_and_then_the_manifests() -> None:
    targets = [{"name": "dc", "profile": "gpu-server"}, {"name": "edge", "profile": "cpu-edge"}]
    spec = make_spec(*targets, export={"formats": ["openvino", "onnx"]})
    assert plan_formats(spec) == ("pt2", "onnx", "openvino")


def test_every_runtime_takes_a_format_of_its_own() -> None:
    assert {takes(runtime) for runtime in Runtime} == set(ExportFormat)


def test_candidates_are_floats_then_copies_of_the_pruned_then_of_the_dense_one() -> None:
    spec = make_spec({"name": "edge", "profile": "mobile"})
    assert plan_candidates(spec, linear_share=0.0) == (
        "dense",
        "pruned",
        "pruned-int8",
        "pruned-fp16",
        "dense-int8",
        "dense-fp16",
    )


def test_at_most_eight_candidates_are_built_and_the_last_fall_away() -> None:
    planned = plan_candidates(make_spec(*EVERY_PROFILE), linear_share=1.0)
    assert len(planned) == 8
    assert planned[-2:] == ("dense-int8", "dense-fp16")


def test_without_pruning_and_quantization_there_is_one_candidate() -> None:
    edits = {"spec.stages": {"train": {}}, "spec.constraints": []}
    job = expand_job(parse_job(edit_manifest(edits)), cores=2, detected=Profile.CPU_EDGE)
    assert plan_candidates(job.spec, linear_share=0.0) == ("dense",)


def test_a_target_that_is_not_expanded_runs_nothing() -> None:
    with pytest.raises(ValueError, match="target edge must be expanded"):
        runs_on(make_technique("Cast", "fp16"), Target(name="edge"))
