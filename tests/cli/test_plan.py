"""`trimtab plan` prints the expanded job and how much work it is, and starts nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from command_line import RunCommand, WriteManifest
from report_builder import make_manifest
from trimtab_cli.documents import parse_documents
from trimtab_cli.manifests import read_manifest

EXAMPLES = sorted(Path(__file__).parents[2].glob("examples/*/job.yaml"))
TRAIN_ONLY = {"train": {"epochs": 3}}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_the_plan_of_every_example_is_a_manifest_again(
    trimtab: RunCommand, tmp_path: Path, path: Path
) -> None:
    result = trimtab("plan", path)
    again = tmp_path / "again.yaml"
    again.write_text(result.stdout, "utf-8")

    assert result.exit_code == 0, result.output
    assert read_manifest(again).findings == ()


def test_the_work_is_counted(trimtab: RunCommand, write_manifest: WriteManifest) -> None:
    lines = trimtab("plan", write_manifest()).stdout.splitlines()

    train = "train 0 (the best trial's weights are taken)"
    assert lines[1:11] == [
        "# trials      16, 2 at once",
        f"# epochs      204: search 192, {train}, fine-tuning 12",
        "# device      a GPU where one works, else the CPU",
        "# workers     1 for each training",
        (
            "# pruning     Structures by L2, spread Uniform: 50 % of the FLOPs in 3 steps (Cubic),"
            " widths in multiples of 8"
        ),
        "# techniques  int8: 8-bit weights and activations (onnx)",
        (
            "#             int8-dynamic: 8-bit linear layers, ranges taken at each inference (onnx);"
            " only if linear layers hold 50 % of the FLOPs"
        ),
        "# formats     onnx",
        (
            "# candidates  4: dense, pruned, pruned-int8, dense-int8; where linear layers lead 6, with"
            " pruned-int8-dynamic, dense-int8-dynamic"
        ),
        "# targets     edge: cpu-edge, onnxruntime on cpu, threads 1, batch 1, prefers Speed",
    ]


@pytest.mark.parametrize(
    ("prune", "expected"),
    [
        (
            {"granularity": "Weights", "amount": {"paramsReduction": 0.7}},
            [
                "# pruning     Weights by L2, spread Uniform: 70 % of the parameters in 3 steps (Cubic)"
            ],
        ),
        (
            {
                "allocation": "Sensitivity",
                "importance": "Taylor",
                "amount": {"ratio": 0.3},
                "schedule": {"steps": 1},
                "roundTo": 1,
            },
            [
                (
                    "# pruning     Structures by Taylor, spread Sensitivity:"
                    " 30 % of the channels in 1 step"
                ),
                (
                    "# sensitivity 3 evaluation(s) of 512 samples per layer,"
                    " gradients of 512 samples per step"
                ),
            ],
        ),
    ],
    ids=["weights", "sensitivity"],
)
def test_pruning_is_planned_with_what_it_measures(
    trimtab: RunCommand,
    write_manifest: WriteManifest,
    prune: dict[str, object],
    expected: list[str],
) -> None:
    path = write_manifest(stages={"train": {}, "prune": prune})

    lines = trimtab("plan", path).stdout.splitlines()

    found = [line for line in lines if line.startswith(("# pruning", "# sensitivity"))]
    assert found == expected


def test_a_stage_that_the_profile_skips_is_said_to_be_skipped(
    trimtab: RunCommand, write_manifest: WriteManifest
) -> None:
    targets = [{"name": "dc", "profile": "gpu-server"}]
    path = write_manifest(
        targets=targets, constraints=[], stages={"train": {}, "prune": {}, "quantize": {}}
    )

    lines = trimtab("plan", path).stdout.splitlines()

    assert "# pruning     none: profile gpu-server skips it where no amount is given" in lines
    assert "# candidates  3: dense, dense-bf16, dense-fp16" in lines


def test_each_target_and_each_technique_has_a_line(
    trimtab: RunCommand, write_manifest: WriteManifest
) -> None:
    targets = [
        {"name": "phone", "profile": "mobile", "runtime": "openvino"},
        {"name": "dc", "profile": "gpu-server", "device": "cpu", "threads": 1},
    ]
    stages = {"train": {}, "quantize": {"method": "Cast", "weights": "bf16"}}
    path = write_manifest(targets=targets, constraints=[], stages=stages)

    lines = trimtab("plan", path).stdout.splitlines()

    assert "# techniques  bf16: 16-bit weights, bf16 compute (openvino, pt2);" in lines[5]
    assert lines[5].endswith("16-bit weights, fp32 compute (onnx)")
    assert lines[6] == "# formats     openvino, pt2, onnx"
    assert lines[8].startswith("# targets     phone: mobile, openvino on cpu, threads ")
    assert lines[9] == (
        "#             dc: gpu-server, torch on cpu, threads 1, batch 32, prefers Accuracy"
    )


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        (
            {"earlyStopping": {"asha": {"minEpochs": 2}}},
            "# stopping    ASHA on accuracy: from epoch 2 on, 1 of 3 goes on at a rung",
        ),
        (
            {"earlyStopping": {"metric": "loss", "hyperband": {"reductionFactor": 4}}},
            "# stopping    Hyperband on loss: from epoch 1 on, 1 of 4 goes on at a rung",
        ),
        (
            {"earlyStopping": {"median": {}}},
            "# stopping    median on accuracy: from epoch 1 on, after 5 ended trials",
        ),
        (
            {"warmStart": {"points": [{"train.batchSize": 64}], "fromJob": "yesterday"}},
            "# start       1 point(s) first, results of yesterday",
        ),
    ],
    ids=["asha", "hyperband", "median", "warm-start"],
)
def test_a_search_is_planned_with_its_early_stopping_and_its_start(
    trimtab: RunCommand, write_manifest: WriteManifest, search: dict[str, object], expected: str
) -> None:
    output = trimtab("plan", write_manifest(stages={"search": search, "train": {}})).stdout

    assert expected in output.splitlines()


def test_a_word_that_kubectl_takes_for_a_boolean_is_quoted(
    trimtab: RunCommand, write_manifest: WriteManifest
) -> None:
    train = {"precision": {"lossScale": {"mode": "Off"}}}

    output = trimtab("plan", write_manifest(stages={"train": train})).stdout

    assert "mode: 'Off'" in output


def test_device_and_workers_are_planned(trimtab: RunCommand, write_manifest: WriteManifest) -> None:
    path = write_manifest(stages={"train": {"numWorkers": 2}}, cluster={"device": "cuda"})

    output = trimtab("plan", path).stdout

    assert "# device      a GPU; without one that works the job fails" in output
    assert "# workers     2 for each training" in output


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        (TRAIN_ONLY, "# epochs      3: search 0, train 3, fine-tuning 0"),
        ({"train": {"steps": 50}}, "50 steps a training instead of epochs, fine-tuning 0"),
    ],
    ids=["epochs", "steps"],
)
def test_a_job_without_search_has_no_trials(
    trimtab: RunCommand, write_manifest: WriteManifest, stages: dict[str, object], expected: str
) -> None:
    output = trimtab("plan", write_manifest(stages=stages)).stdout

    assert "# trials      none" in output
    assert expected in output
    assert "# candidates  1: dense" in output
    assert "# stopping" not in output
    assert "# start" not in output


def test_given_weights_need_no_training(trimtab: RunCommand, write_manifest: WriteManifest) -> None:
    model = {"builtin": "mlp", "weights": {"uri": "pvc://models/mlp.safetensors"}}

    output = trimtab("plan", write_manifest(model=model, stages={"quantize": {}})).stdout

    assert "the given weights are compressed" in output
    assert "# workers" not in output


def test_programs_get_job_and_work_as_json(
    trimtab: RunCommand, write_manifest: WriteManifest
) -> None:
    (plan,) = json.loads(trimtab("plan", "-o", "json", write_manifest()).stdout)

    assert plan["work"]["epochs"] == {"search": 192, "train": 0, "finetune": 12, "total": 204}
    assert plan["work"]["formats"] == ["onnx"]
    assert plan["work"]["candidates"] == ["dense", "pruned", "pruned-int8", "dense-int8"]
    assert plan["work"]["conditionalCandidates"] == ["pruned-int8-dynamic", "dense-int8-dynamic"]
    assert plan["job"]["spec"]["stages"]["prune"]["amount"] == {"flopsReduction": 0.5}


def test_each_job_of_a_file_is_planned(trimtab: RunCommand, write_manifest: WriteManifest) -> None:
    text = "\n---\n".join(json.dumps(make_manifest(seed=seed)) for seed in (1, 2))

    result = trimtab("plan", write_manifest(text))

    assert result.stdout.count("# digits:") == 2
    assert result.stdout.count("---\n") == 1


def test_an_invalid_manifest_is_not_planned(
    trimtab: RunCommand, write_manifest: WriteManifest
) -> None:
    result = trimtab("plan", write_manifest(seed=-1))

    assert result.exit_code == 2
    assert "spec.seed: must be at least 0 (got -1)" in result.stderr
    assert result.stdout == ""


KINDS = [
    "ConfigMap digits-progress",
    "ServiceAccount digits-progress",
    "Role digits-progress",
    "RoleBinding digits-progress",
    "NetworkPolicy digits-ray",
    "RayJob digits-a1",
    "ConfigMap digits-a1",
]


def name_children(manifests: list[dict[str, Any]]) -> list[str]:
    return [f"{entry['kind']} {entry['metadata']['name']}" for entry in manifests]


def test_the_children_of_a_job_are_printed(
    trimtab: RunCommand, write_manifest: WriteManifest
) -> None:
    path = write_manifest(storage={"uri": "pvc://data/runs"}, cluster={"image": "trainer:2"})

    result = trimtab("plan", "--children", "-n", "vision", path)

    assert result.exit_code == 0, result.output
    documents = parse_documents(result.stdout)
    assert [document.problems for document in documents] == [[]] * len(KINDS)
    manifests = [document.data for document in documents]
    assert name_children(manifests) == KINDS
    assert {entry["metadata"]["namespace"] for entry in manifests} == {"vision"}
    group = manifests[5]["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]
    assert group["replicas"] == 2
    assert group["template"]["spec"]["containers"][0]["image"] == "trainer:2"
    spec = json.loads(manifests[6]["data"]["job.json"])["spec"]
    assert spec["stages"]["search"] == {"numTrials": 16, "parallelTrials": 2}


def test_a_placed_target_has_a_job_of_its_own(
    trimtab: RunCommand, write_manifest: WriteManifest
) -> None:
    targets = [{"name": "edge", "profile": "cpu-edge", "nodeSelector": {"edge": "yes"}}]
    path = write_manifest(targets=targets)

    manifests = json.loads(trimtab("plan", "--children", "-o", "json", path).stdout)

    assert name_children(manifests) == [*KINDS, "Job digits-t-edge"]


def test_what_only_a_cluster_knows_stands_in_angle_brackets(
    trimtab: RunCommand, write_manifest: WriteManifest
) -> None:
    output = trimtab("plan", "--children", write_manifest()).stdout

    assert "image: <image of the operator>" in output
    assert "value: <storage of the operator>" in output
    assert "uid: <uid of the job>" in output


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_every_example_has_children(trimtab: RunCommand, path: Path) -> None:
    manifests = json.loads(trimtab("plan", "--children", "-o", "json", path).stdout)

    assert len(manifests) >= len(KINDS)
