"""`trimtab plan` prints the expanded job and how much work it is, and starts nothing."""

import json
from pathlib import Path

import pytest

from command_line import RunCommand, WriteManifest
from report_builder import make_manifest
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
    assert lines[1:6] == [
        "# trials      16, 2 at once",
        f"# epochs      204: search 192, {train}, fine-tuning 12",
        "# device      a GPU where one works, else the CPU",
        "# workers     1 for each training",
        "# candidates  4: dense, pruned, dense-int8, pruned-int8",
    ]


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
