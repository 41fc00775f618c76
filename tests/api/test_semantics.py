"""References of a job that lead nowhere are found: parameter paths, metrics, directions."""

import pytest

from manifest_edits import REMOVED, edit_manifest
from trimtab_api.findings import InvalidJobError, render_path
from trimtab_api.validation import parse_job

SEARCH = "spec.stages.search"
OWN_TASK = {"spec.task": {"entrypoint": "waves:Task"}}
OWN_METRIC = {**OWN_TASK, "spec.objectives": [{"metric": "f1", "direction": "Maximize"}]}
STATIC = {"spec.objectives": [{"metric": "params", "direction": "Minimize"}]}


def search_over(name: str, **space: object) -> dict[str, object]:
    return {f"{SEARCH}.parameters": [{"name": name, "searchSpace": space}]}


def start_from(**point: object) -> dict[str, object]:
    return {f"{SEARCH}.warmStart.points": [{"train.batchSize": 64}, point]}


def stop_on(metric: str | None) -> dict[str, object]:
    named = {} if metric is None else {"metric": metric}
    return {f"{SEARCH}.earlyStopping": {**named, "median": {}}}


@pytest.mark.parametrize(
    ("edits", "path", "expectation"),
    [
        (
            {"spec.objectives": [{"metric": "f1", "direction": "Maximize"}]},
            "spec.objectives[0].metric",
            "must be accuracy, top5_accuracy, loss, params, flops",
        ),
        (
            {"spec.objectives": [{"metric": "size_mib", "direction": "Minimize"}]},
            "spec.objectives[0].metric",
            "must be a metric that a trial can tell: accuracy, top5_accuracy, loss, params, flops",
        ),
        (
            {"spec.objectives": [{"metric": "sparsity", "direction": "Maximize"}]},
            "spec.objectives[0].metric",
            "must be a metric that a trial can tell: accuracy, top5_accuracy, loss, params, flops",
        ),
        (
            {"spec.objectives": [{"metric": "flops", "direction": "Maximize"}]},
            "spec.objectives[0].direction",
            "must be Minimize for flops",
        ),
        (
            {"spec.objectives": [{"metric": "accuracy", "direction": "Minimize"}]},
            "spec.objectives[0].direction",
            "must be Maximize for accuracy",
        ),
        (
            {"spec.constraints.0": {"metric": "f1", "max": 1}},
            "spec.constraints[0].metric",
            "must be one of accuracy",
        ),
        (
            {**OWN_TASK, "spec.constraints.0": {"metric": "f1", "maxDrop": 0.1}},
            "spec.constraints[0].metric",
            "must also be an objective",
        ),
        (
            {"spec.constraints.0.target": "edge"},
            "spec.constraints[0].target",
            "must be absent: accuracy is the same on every target",
        ),
        (
            search_over("train.speed", categorical={"choices": [1]}),
            "spec.stages.search.parameters[0].name",
            "is not a field that a search can replace",
        ),
        (
            search_over("train.learningrate", logUniform={"min": 0.001, "max": 0.1}),
            "spec.stages.search.parameters[0].name",
            "is not a field that a search can replace; did you mean train.learningRate?",
        ),
        (
            search_over("train.precision.lossscale.mod", categorical={"choices": ["None"]}),
            "spec.stages.search.parameters[0].name",
            "is not a field that a search can replace; did you mean train.precision.lossScale.mode?",
        ),
        (
            search_over("dataset.args.noise", categorical={"choices": [1]}),
            "spec.stages.search.parameters[0].name",
            "needs dataset.entrypoint",
        ),
        (
            search_over("train.learningRate", uniform={"min": 0.1, "max": 11}),
            "spec.stages.search.parameters[0].searchSpace.uniform.max",
            "must be valid for train.learningRate",
        ),
        (
            search_over("train.optimizer", categorical={"choices": ["SGD", "Sgd"]}),
            "spec.stages.search.parameters[0].searchSpace.categorical.choices[1]",
            "must be valid for train.optimizer",
        ),
        (
            search_over("train.numWorkers", categorical={"choices": [1, 2]}),
            f"{SEARCH}.parameters[0].name",
            "must not be searched",
        ),
        (
            search_over("train.precision.fallback", categorical={"choices": ["fp32"]}),
            f"{SEARCH}.parameters[0].searchSpace.categorical.choices[0]",
            "must be valid for train.precision.fallback",
        ),
        (
            {
                "spec.stages.train.accumulateSteps": 8,
                **search_over("train.batchSize", categorical={"choices": [64, 4, 32]}),
            },
            f"{SEARCH}.parameters[0]",
            "must give valid trials only: batchSize must be at least accumulateSteps × numWorkers",
        ),
        (
            {"spec.stages.train": {"batchSize": 64, "numWorkers": 40}},
            f"{SEARCH}.parameters",
            "must give valid trials only: batchSize must be at least",
        ),
        (
            search_over(
                "train.precision.lossScale.mode", categorical={"choices": ["Auto", "Static"]}
            ),
            f"{SEARCH}.parameters[0]",
            "must give valid trials only: value must be set when mode is Static",
        ),
        (
            {
                "spec.stages.train": {"steps": 9},
                **search_over("train.epochs", categorical={"choices": [1, 2]}),
            },
            f"{SEARCH}.parameters[0]",
            "must give valid trials only: steps must not be set together with epochs",
        ),
        (
            {f"{SEARCH}.numTrials": REMOVED, f"{SEARCH}.parallelTrials": 21},
            f"{SEARCH}.parallelTrials",
            "must not exceed numTrials, which is 20 where it is not given",
        ),
        (
            {
                f"{SEARCH}.numTrials": REMOVED,
                f"{SEARCH}.algorithm": {"grid": {}},
                **search_over("model.args.width", uniform={"min": 1, "max": 20000, "type": "Int"}),
            },
            f"{SEARCH}.numTrials",
            "must be given for a grid of 20,000 points, at most 10,000",
        ),
        (
            start_from(**{"train.momentum": 0.5}),
            f"{SEARCH}.warmStart.points[1].train.momentum",
            "must be searched: one of train.learningRate, train.batchSize, train.weightDecay",
        ),
        (
            start_from(**{"train.learningRate": 0.5}),
            f"{SEARCH}.warmStart.points[1].train.learningRate",
            "must be from 0.0001 to 0.1",
        ),
        (
            start_from(**{"train.batchSize": 64.0}),
            f"{SEARCH}.warmStart.points[1].train.batchSize",
            "must be one of 32, 64, 128",
        ),
        (
            stop_on("f1"),
            f"{SEARCH}.earlyStopping.metric",
            "must be accuracy, top5_accuracy, loss",
        ),
        (
            stop_on("size_mib"),
            f"{SEARCH}.earlyStopping.metric",
            "must be a metric that changes over the epochs: accuracy, top5_accuracy, loss",
        ),
        (
            {**STATIC, **stop_on(None)},
            f"{SEARCH}.earlyStopping.metric",
            "must be a metric that changes over the epochs",
        ),
        (
            {**OWN_METRIC, **stop_on("f2")},
            f"{SEARCH}.earlyStopping.metric",
            "must also be an objective: only an objective tells which way is better",
        ),
    ],
)
def test_a_reference_that_leads_nowhere_is_found(
    edits: dict[str, object], path: str, expectation: str
) -> None:
    with pytest.raises(InvalidJobError) as caught:
        parse_job(edit_manifest(edits))
    (finding,) = caught.value.findings
    assert render_path(finding.path) == path
    assert finding.expectation.startswith(expectation)


@pytest.mark.parametrize(
    "edits",
    [
        OWN_METRIC,
        STATIC,
        {**STATIC, **stop_on("loss")},
        {**OWN_METRIC, **stop_on("f1")},
        {**OWN_METRIC, **stop_on(None)},
        {**OWN_METRIC, **stop_on("loss")},
        stop_on(None),
        start_from(**{"train.learningRate": 0.1, "train.weightDecay": 1e-5}),
        {
            **search_over("train.weightDecay", uniform={"min": 0, "max": 1}),
            f"{SEARCH}.warmStart.points": [{"train.weightDecay": 0}],
        },
        {f"{SEARCH}.warmStart.fromJob": "yesterday"},
        {
            "spec.stages.train.accumulateSteps": 8,
            **search_over("train.batchSize", categorical={"choices": [8, 16]}),
        },
        {
            "spec.stages.train.precision.lossScale.value": 64,
            **search_over(
                "train.precision.lossScale.mode", categorical={"choices": ["Auto", "Static"]}
            ),
        },
        {**OWN_TASK, "spec.constraints.0": {"metric": "f1", "max": 1}},
        search_over("model.args.width", uniform={"min": 8, "max": 32, "type": "Int"}),
        search_over("train.precision.dtype", categorical={"choices": ["fp32", "bf16"]}),
        search_over("train.steps", categorical={"choices": [5, 10]}),
    ],
)
def test_a_reference_that_leads_somewhere_passes(edits: dict[str, object]) -> None:
    parse_job(edit_manifest(edits))


def on_target(target: dict[str, object], **quantize: object) -> dict[str, object]:
    return {"spec.targets": [{"name": "edge", **target}], "spec.stages.quantize": quantize}


@pytest.mark.parametrize(
    ("edits", "path", "expectation"),
    [
        (
            on_target({"runtime": "openvino", "device": "cuda"}),
            "spec.targets[0].device",
            "must be cpu with openvino",
        ),
        (
            on_target({"runtime": "openvino", "profile": "gpu-edge"}),
            "spec.targets[0].runtime",
            "must be onnxruntime or torch on cuda, the device of profile gpu-edge",
        ),
        (
            on_target({}, method="Cast", weights="fp16", activations="fp16"),
            "spec.stages.quantize.activations",
            "must be what a target runs: torch can, onnxruntime on cpu cannot",
        ),
        (
            on_target({}, method="Cast", activations="bf16"),
            "spec.stages.quantize.activations",
            "must be what a target runs: torch and openvino can, onnxruntime on cpu cannot",
        ),
        (
            on_target({"runtime": "torch"}, method="Cast", activations="fp32"),
            "spec.stages.quantize.activations",
            "must be what a target runs: onnxruntime and openvino can, torch on cpu cannot",
        ),
        (
            on_target({"profile": "gpu-server"}, method="Static"),
            "spec.stages.quantize.method",
            "must be what a target runs: onnxruntime and openvino can, torch on cuda cannot",
        ),
        (
            on_target({"runtime": "openvino"}, method="Dynamic"),
            "spec.stages.quantize.method",
            "must be what a target runs: onnxruntime can, openvino on cpu cannot",
        ),
        (
            on_target({"runtime": "torch", "profile": "cpu-edge"}),
            "spec.stages.quantize.method",
            "must be Cast: no rung of the targets' ladders runs in torch on cpu",
        ),
        (
            on_target({"runtime": "openvino"}, method="Cast", keepFloat=["fc"]),
            "spec.stages.quantize.keepFloat",
            "must be empty with Cast where a target or stages.export.formats wants openvino",
        ),
        (
            {
                **on_target({}, method="Cast", keepFloat=["fc"]),
                "spec.stages.export": {"formats": ["openvino"]},
            },
            "spec.stages.quantize.keepFloat",
            "must be empty with Cast where a target or stages.export.formats wants openvino",
        ),
    ],
)
def test_what_no_target_runs_is_found(
    edits: dict[str, object], path: str, expectation: str
) -> None:
    with pytest.raises(InvalidJobError) as caught:
        parse_job(edit_manifest(edits))
    (finding,) = caught.value.findings
    assert render_path(finding.path) == path
    assert finding.expectation.startswith(expectation)


@pytest.mark.parametrize(
    "edits",
    [
        on_target({"runtime": "torch"}, method="Cast", activations="fp16"),
        on_target({"runtime": "openvino"}, method="Cast", activations="bf16"),
        on_target({"runtime": "openvino"}, method="Static", keepFloat=["fc"]),
        on_target({}, method="Cast", keepFloat=["fc"]),
        on_target({"runtime": "openvino", "profile": "gpu-edge", "device": "cpu"}),
        on_target({"runtime": "torch", "profile": "mobile"}),
        {
            **on_target({"runtime": "torch"}, method="Static"),
            "spec.targets": [{"name": "edge", "runtime": "torch"}, {"name": "other"}],
        },
        {"spec.targets": [{"name": "edge", "runtime": "torch"}], "spec.stages.quantize": REMOVED},
    ],
)
def test_what_one_target_runs_passes(edits: dict[str, object]) -> None:
    parse_job(edit_manifest(edits))
