"""What breaks each rule of the contract, and what each union takes; for the tests of the rules."""

from dataclasses import dataclass

from manifest_edits import REMOVED

__all__ = ["CASES", "CHOICES", "PARAMETERS", "QUANTIZE", "UNIONS", "Case", "searching"]

SEARCH = "spec.stages.search"
PARAMETERS = f"{SEARCH}.parameters"
SPACE = f"{PARAMETERS}[0].searchSpace"
PRUNE = "spec.stages.prune"
QUANTIZE = "spec.stages.quantize"


def parameter(space: object, name: str = "train.learningRate") -> dict[str, object]:
    """Return a parameter of a search."""
    return {"name": name, "searchSpace": space}


def searching(space: object) -> dict[str, object]:
    """Return the edit that searches one space."""
    return {PARAMETERS: [parameter(space)]}


CHOICES = {"categorical": {"choices": [0.1, 0.2]}}
OWN_DATA = {"entrypoint": "waves:make_data"}
FOLDER = {"imageFolder": "file:///cats"}
PRECISION = "spec.stages.train.precision"
RULES = "spec.failurePolicy.rules"
TWO_OBJECTIVES = [
    {"metric": "accuracy", "direction": "Maximize"},
    {"metric": "loss", "direction": "Minimize"},
]


def failure_rule(kind: str, *actions: str) -> dict[str, object]:
    return {"class": kind, "actions": list(actions)}


CLUSTER = "spec.cluster"
PLACED = {"name": "edge", "nodeSelector": {"kubernetes.io/arch": "arm64"}}
KEY = {"name": "s3", "key": "token"}


def variable(name: str = "TOKEN", **rest: object) -> dict[str, object]:
    """Return the edit that gives the pods one variable."""
    return {f"{CLUSTER}.env": [{"name": name, **rest}]}


def toleration(**rest: object) -> dict[str, object]:
    """Return the edit that gives the workers one toleration."""
    return {f"{CLUSTER}.workers": {"tolerations": [rest]}}


@dataclass(frozen=True, slots=True)
class Case:
    """Edits of a manifest that break one rule, their nearest neighbour, and what is said."""

    broken: dict[str, object]
    kept: dict[str, object]
    path: str
    message: str


CASES = {
    "search-needs-train": Case(
        {"spec.stages.train": REMOVED, "spec.stages.prune": REMOVED},
        {},
        SEARCH,
        "needs stages.train: it is the recipe of each trial",
    ),
    "prune-needs-train": Case(
        {
            "spec.model.weights": {"uri": "file:///w"},
            "spec.stages": {"prune": {"finetune": {"epochs": 1}}},
        },
        {
            "spec.model.weights": {"uri": "file:///w"},
            "spec.stages": {"prune": {"finetune": {"epochs": 0}}},
        },
        "spec.stages.prune",
        "needs stages.train as the recipe of fine-tuning, or finetune.epochs: 0",
    ),
    "objectives-once": Case(
        {"spec.objectives": [{"metric": "accuracy", "direction": "Maximize"}] * 2},
        {"spec.objectives": TWO_OBJECTIVES},
        "spec.objectives",
        "must name each metric once",
    ),
    "targets-unique": Case(
        {"spec.targets": [{"name": "edge"}, {"name": "edge"}]},
        {"spec.targets": [{"name": "edge"}, {"name": "server"}]},
        "spec.targets",
        "must have unique names",
    ),
    "constraint-target-known": Case(
        {"spec.constraints.1.target": "phone"},
        {"spec.constraints.1.target": "edge"},
        "spec.constraints",
        "must name a target of spec.targets, or none",
    ),
    "random-network": Case(
        {"spec.stages": {"quantize": {}}},
        {"spec.stages": {"quantize": {}}, "spec.model.weights": {"uri": "file:///w"}},
        "spec.model",
        "needs stages.train or model.weights: a built-in network is random otherwise",
    ),
    "dataset-args": Case(
        {"spec.dataset.args": {"samples": 1}},
        {"spec.dataset": {**OWN_DATA, "args": {"samples": 1}}},
        "spec.dataset.args",
        "belong to an entrypoint; set dataset.entrypoint or remove them",
    ),
    "dataset-images": Case(
        {"spec.dataset": {**OWN_DATA, "imageSize": 28}},
        {"spec.dataset": {"builtin": "digits", "imageSize": 28}},
        "spec.dataset",
        "imageSize and normalize apply to images; tensors of an entrypoint are taken as they are",
    ),
    "normalize-lengths": Case(
        {"spec.dataset.normalize": {"mean": [0.1, 0.2], "std": [0.3]}},
        {"spec.dataset.normalize": {"mean": [0.1], "std": [0.3]}},
        "spec.dataset.normalize.std",
        "must have as many entries as mean",
    ),
    "split-leaves-train": Case(
        {"spec.dataset.split": {"validation": 0.5, "test": 0.5}},
        {"spec.dataset.split": {"validation": 0.5, "test": 0.4}},
        "spec.dataset.split",
        "must leave a part for training: validation + test must be below 1",
    ),
    "range-ordered": Case(
        searching({"uniform": {"min": 2, "max": 1}}),
        searching({"uniform": {"min": 1, "max": 1}}),
        f"{SPACE}.uniform.max",
        "must be at least min",
    ),
    "log-range-ordered": Case(
        searching({"logUniform": {"min": 0.2, "max": 0.1}}),
        searching({"logUniform": {"min": 0.1, "max": 0.2}}),
        f"{SPACE}.logUniform.max",
        "must be at least min",
    ),
    "int-range-whole": Case(
        searching({"uniform": {"min": 0.5, "max": 2, "type": "Int"}}),
        {PARAMETERS: [parameter({"uniform": {"min": 1, "max": 2, "type": "Int"}}, "train.epochs")]},
        f"{SPACE}.uniform",
        "must have whole numbers as min and max when type is Int",
    ),
    "log-int-range-whole": Case(
        searching({"logUniform": {"min": 1.5, "max": 2, "type": "Int"}}),
        searching({"logUniform": {"min": 1, "max": 2, "type": "Int"}}),
        f"{SPACE}.logUniform",
        "must have whole numbers as min and max when type is Int",
    ),
    "int-step-whole": Case(
        searching({"uniform": {"min": 1, "max": 2, "step": 0.5, "type": "Int"}}),
        searching({"uniform": {"min": 0.1, "max": 2, "step": 0.5}}),
        f"{SPACE}.uniform.step",
        "must be a whole number when type is Int",
    ),
    "parallel-within-trials": Case(
        {f"{SEARCH}.parallelTrials": 17},
        {f"{SEARCH}.parallelTrials": 16},
        f"{SEARCH}.parallelTrials",
        "must not exceed numTrials",
    ),
    "grid-finite": Case(
        {f"{SEARCH}.algorithm": {"grid": {}}, **searching({"uniform": {"min": 0.1, "max": 1}})},
        {
            f"{SEARCH}.algorithm": {"grid": {}},
            **searching({"uniform": {"min": 0.1, "max": 1, "step": 0.1}}),
        },
        PARAMETERS,
        "must all be finite for grid: categorical, uniform with step, or uniform of type Int",
    ),
    "grid-given": Case(
        {f"{SEARCH}.algorithm": {"grid": {}}},
        {f"{SEARCH}.algorithm": {"grid": {}}, **searching(CHOICES)},
        PARAMETERS,
        "must be given for grid: the computed ones are ranges without steps",
    ),
    "parameters-once": Case(
        {PARAMETERS: [parameter(CHOICES), parameter(CHOICES)]},
        {PARAMETERS: [parameter(CHOICES), parameter(CHOICES, "train.weightDecay")]},
        PARAMETERS,
        "must name each field once",
    ),
    "steps-or-epochs": Case(
        {"spec.stages.train": {"epochs": 1, "steps": 1}},
        {"spec.stages.train": {"steps": 1}},
        "spec.stages.train.steps",
        "must not be set together with epochs",
    ),
    "batch-has-parts": Case(
        {"spec.stages.train": {"batchSize": 32, "accumulateSteps": 11, "numWorkers": 3}},
        {"spec.stages.train": {"batchSize": 32, "accumulateSteps": 16, "numWorkers": 2}},
        "spec.stages.train.batchSize",
        "must be at least accumulateSteps × numWorkers, so that no part is empty",
    ),
    "static-scale-has-value": Case(
        {f"{PRECISION}.lossScale": {"mode": "Static"}},
        {f"{PRECISION}.lossScale": {"mode": "Static", "value": 1024}},
        f"{PRECISION}.lossScale.value",
        "must be set when mode is Static",
    ),
    "no-scale-has-no-value": Case(
        {f"{PRECISION}.lossScale": {"mode": "Off", "value": 1024}},
        {f"{PRECISION}.lossScale": {"mode": "Dynamic", "value": 1024}},
        f"{PRECISION}.lossScale.value",
        "must not be set when mode is Off",
    ),
    "fallback-once": Case(
        {f"{PRECISION}.fallback": ["bf16", "bf16"]},
        {f"{PRECISION}.fallback": ["bf16", "fp32"]},
        f"{PRECISION}.fallback",
        "must name each type once",
    ),
    "bad-samples-of-a-folder": Case(
        {"spec.dataset": {"builtin": "digits", "maxBadSamples": 1}},
        {"spec.dataset": {**FOLDER, "maxBadSamples": 1}},
        "spec.dataset.maxBadSamples",
        "applies to images of a folder; set dataset.imageFolder or remove it",
    ),
    "cache-of-own-data": Case(
        {"spec.dataset": {**OWN_DATA, "cache": "Node"}},
        {"spec.dataset": {**FOLDER, "cache": "Node"}},
        "spec.dataset.cache",
        "must be None for an entrypoint, whose samples may be augmented at random",
    ),
    "actions-fit-the-class": Case(
        {RULES: [failure_rule("Diverged", "Retry", "ShrinkBatch")]},
        {RULES: [failure_rule("Diverged", "FallbackPrecision", "MarkInfeasible")]},
        f"{RULES}[0].actions",
        "must fit the class: ShrinkBatch is for OOM, FallbackPrecision for Diverged, Preempted is"
        " always retried, UserError always fails the job",
    ),
    "failure-class-once": Case(
        {RULES: [failure_rule("OOM", "FailJob"), failure_rule("OOM", "Retry")]},
        {RULES: [failure_rule("OOM", "FailJob"), failure_rule("Timeout", "Retry")]},
        RULES,
        "must name each class once",
    ),
    "stopping-metric-named": Case(
        {"spec.objectives": TWO_OBJECTIVES, f"{SEARCH}.earlyStopping": {"asha": {}}},
        {
            "spec.objectives": TWO_OBJECTIVES,
            f"{SEARCH}.earlyStopping": {"metric": "loss", "asha": {}},
        },
        "spec.stages",
        "needs search.earlyStopping.metric: with several objectives it must be said which metric"
        " stops a trial",
    ),
    "ratios-ascend": Case(
        {f"{PRUNE}.sensitivity": {"ratios": [0.25, 0.5, 0.5]}},
        {f"{PRUNE}.sensitivity": {"ratios": [0.25, 0.5, 0.75, 0.9]}},
        f"{PRUNE}.sensitivity.ratios",
        "must ascend",
    ),
    "weights-keep-widths": Case(
        {f"{PRUNE}.granularity": "Weights", f"{PRUNE}.roundTo": 8},
        {f"{PRUNE}.granularity": "Neurons", f"{PRUNE}.roundTo": 8},
        f"{PRUNE}.roundTo",
        "must not be set with granularity Weights, which keeps every width",
    ),
    "weights-save-no-flops": Case(
        {f"{PRUNE}.granularity": "Weights", f"{PRUNE}.amount": {"flopsReduction": 0.5}},
        {f"{PRUNE}.granularity": "Weights", f"{PRUNE}.amount": {"paramsReduction": 0.5}},
        f"{PRUNE}.amount",
        "must not be flopsReduction with granularity Weights, which saves no FLOPs",
    ),
    "ratio-within-layers": Case(
        {f"{PRUNE}.amount": {"ratio": 0.81}},
        {f"{PRUNE}.amount": {"ratio": 0.8}},
        f"{PRUNE}.amount",
        "must not have a ratio above maxLayerRatio, which is 0.8 where it is not given",
    ),
    "layer-ratios-within-layers": Case(
        {f"{PRUNE}.layerRatios": {"conv1": 0.1, "conv2": 0.5}, f"{PRUNE}.maxLayerRatio": 0.4},
        {f"{PRUNE}.layerRatios": {"conv1": 0.1, "conv2": 0.4}, f"{PRUNE}.maxLayerRatio": 0.4},
        f"{PRUNE}.layerRatios",
        "must not hold a share above maxLayerRatio, which is 0.8 where it is not given",
    ),
    "auto-chooses-types": Case(
        {QUANTIZE: {"weights": "int8"}},
        {QUANTIZE: {"method": "Static", "weights": "int8"}},
        f"{QUANTIZE}.method",
        "must not be Auto where weights or activations are given: Auto chooses them",
    ),
    "weights-fit-the-method": Case(
        {QUANTIZE: {"method": "Cast", "weights": "int8"}},
        {QUANTIZE: {"method": "Cast", "weights": "bf16"}},
        f"{QUANTIZE}.weights",
        "must be fp16 or bf16 with Cast, int8 with every other method",
    ),
    "activations-fit-the-method": Case(
        {QUANTIZE: {"method": "WeightOnly", "activations": "uint8"}},
        {QUANTIZE: {"method": "WeightOnly", "activations": "fp32"}},
        f"{QUANTIZE}.activations",
        "must be int8 or uint8 with Static, uint8 with Dynamic, fp32 with WeightOnly,"
        " fp16, bf16 or fp32 with Cast",
    ),
    "cast-has-one-narrow-type": Case(
        {QUANTIZE: {"method": "Cast", "weights": "fp16", "activations": "bf16"}},
        {QUANTIZE: {"method": "Cast", "weights": "fp16", "activations": "fp32"}},
        f"{QUANTIZE}.activations",
        "must be fp32 or the type of the weights with Cast",
    ),
    "formats-once": Case(
        {"spec.stages.export.formats": ["onnx", "onnx"]},
        {"spec.stages.export.formats": ["pt2", "onnx", "openvino"]},
        "spec.stages.export.formats",
        "must name each format once",
    ),
    "target-placed": Case(
        {"spec.targets": [{"name": "edge", "resources": {"limits": {"cpu": 2}}}]},
        {"spec.targets": [{**PLACED, "resources": {"limits": {"cpu": "500m"}}}]},
        "spec.targets[0].nodeSelector",
        "must be set where image, tolerations or resources are: they belong to a Job of the"
        " target's own",
    ),
    "toleration-of-something": Case(
        toleration(effect="NoSchedule"),
        toleration(operator="Exists", effect="NoSchedule"),
        f"{CLUSTER}.workers.tolerations[0].operator",
        "must be Exists where there is no key",
    ),
    "toleration-without-value": Case(
        toleration(key="gpu", operator="Exists", value="h100"),
        toleration(key="gpu", value="h100"),
        f"{CLUSTER}.workers.tolerations[0].value",
        "must not be set with operator Exists",
    ),
    "variable-has-one-value": Case(
        variable(value="a", valueFrom={"secretKeyRef": KEY}),
        variable(valueFrom={"secretKeyRef": KEY}),
        f"{CLUSTER}.env[0].valueFrom",
        "must not be set together with value",
    ),
    "variable-is-the-users": Case(
        variable("TRIMTAB_ATTEMPT", value="9"),
        variable("TRIMTABS", value="9"),
        f"{CLUSTER}.env[0].name",
        "must not begin with TRIMTAB_ or RAY_: these are set by the operator",
    ),
    "variables-once": Case(
        {f"{CLUSTER}.env": [{"name": "A"}, {"name": "A"}]},
        {f"{CLUSTER}.env": [{"name": "A"}, {"name": "B"}]},
        f"{CLUSTER}.env",
        "must name each variable once",
    ),
    "ray-tells-health": Case(
        {f"{CLUSTER}.rayVersion": "2.52.9"},
        {f"{CLUSTER}.rayVersion": "2.53.0"},
        f"{CLUSTER}.rayVersion",
        "must be at least 2.53.0, the first with `/api/healthz`",
    ),
    "round-to-power": Case(
        {f"{PRUNE}.roundTo": 12},
        {f"{PRUNE}.roundTo": 16},
        f"{PRUNE}.roundTo",
        "must be a power of two from 1 to 64",
    ),
}

UNIONS = {
    "model": ("spec.model", {}, {"builtin": "mlp", "entrypoint": "a:b"}, {"builtin": "mlp"}),
    "dataset": ("spec.dataset", {}, {"builtin": "digits", "idx": "pvc://c"}, {"idx": "pvc://c"}),
    "task": (
        "spec.task",
        {},
        {"builtin": "classification", "entrypoint": "a:b"},
        {"entrypoint": "a:b"},
    ),
    "constraint": (
        "spec.constraints.0",
        {"metric": "accuracy"},
        {"metric": "accuracy", "min": 0, "max": 1},
        {"metric": "accuracy", "min": 0},
    ),
    "search-space": (
        f"{PARAMETERS}.0.searchSpace",
        {},
        {**CHOICES, "uniform": {"min": 0.1, "max": 1}},
        CHOICES,
    ),
    "algorithm": (f"{SEARCH}.algorithm", {}, {"random": {}, "bayesian": {}}, {"random": {}}),
    "early-stopping": (
        f"{SEARCH}.earlyStopping",
        {"metric": "loss"},
        {"asha": {}, "median": {}},
        {"hyperband": {}},
    ),
    "variable-source": (
        f"{CLUSTER}.env",
        variable(valueFrom={})[f"{CLUSTER}.env"],
        variable(valueFrom={"secretKeyRef": KEY, "configMapKeyRef": KEY})[f"{CLUSTER}.env"],
        variable(valueFrom={"fieldRef": {"fieldPath": "metadata.name"}})[f"{CLUSTER}.env"],
    ),
    "amount": (
        f"{PRUNE}.amount",
        {},
        {"ratio": 0.5, "flopsReduction": 0.5},
        {"ratio": 0.5},
    ),
}
