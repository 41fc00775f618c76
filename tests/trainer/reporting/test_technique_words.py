"""A candidate's technique in words follows from the spec, its id and the format of the file."""

import pytest

from compression_builder import make_broad_parts
from report_builder import make_candidate, make_manifest, make_parts
from trimtab_api.stages import StageName
from trimtab_api.v1alpha1.export import ExportFormat
from trimtab_api.v1alpha1.job import Spec
from trimtab_trainer.reporting.files_view import list_candidate_files
from trimtab_trainer.reporting.technique_words import describe_candidate

ONNX, PT2 = ExportFormat.ONNX, ExportFormat.PT2


def make_spec(**quantize: object) -> Spec:
    manifest = make_manifest()
    manifest["spec"]["stages"]["quantize"] = quantize
    return Spec.model_validate(manifest["spec"])


@pytest.mark.parametrize(
    ("name", "parent", "form", "words"),
    [
        ("dense", None, ONNX, "the baseline"),
        ("pruned-fp16", "pruned", ONNX, "16-bit weights, fp32 compute"),
        ("pruned-fp16", "pruned", PT2, "16-bit weights, fp16 compute"),
        ("pruned-int8", "pruned", ONNX, "8-bit weights and activations"),
        ("pruned-made-elsewhere", "pruned", ONNX, "quantized from pruned"),
    ],
)
def test_a_technique_of_a_ladder_is_named(
    name: str, parent: str | None, form: ExportFormat, words: str
) -> None:
    entry = make_candidate("pruned-int8", id=name, parent=parent, stage=StageName.QUANTIZE)

    assert describe_candidate(make_spec(), entry, form) == words


def test_a_technique_that_was_asked_for_is_named() -> None:
    entry = make_candidate("pruned-int8", id="pruned-int8-weights", parent="pruned")

    assert describe_candidate(make_spec(method="WeightOnly"), entry, ONNX) == (
        "8-bit weights, fp32 compute"
    )


def test_files_tell_what_ships_where_and_which_layers_stay_float() -> None:
    report = make_broad_parts(layers=1).build()

    files = {
        entry.name: entry
        for entry in list_candidate_files(report, Spec.model_validate(report.spec))
    }

    int8 = files["pruned-int8"]
    assert (int8.formats, int8.ships_for) == ("onnx, openvino", "edge, laptop, phone")
    kept, others = int8.notes
    assert kept == "Kept float so that limits hold: features.conv0, fc."
    assert others.endswith(": features.gate.")
    assert files["dense"].notes == ()


def test_long_lists_of_float_layers_are_cut_short() -> None:
    parts = make_parts()
    names = [f"layer{number}" for number in range(15)]
    parts.candidates[3] = make_candidate("pruned-int8", details={"layersFloat": names})
    report = parts.build()

    entry = list_candidate_files(report, Spec.model_validate(report.spec))[3]

    assert entry.notes[0].endswith("layer10, layer11 and 3 more.")


def test_the_first_file_has_the_time_that_its_target_measured() -> None:
    report = make_parts().build()

    dense = list_candidate_files(report, Spec.model_validate(report.spec))[0]

    assert "0.141 ms" in dense.files[0].cells
