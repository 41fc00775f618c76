"""Computed defaults, answers to failures and the amount of work follow from the manifest alone."""

import pytest

from manifest_edits import REMOVED, edit_manifest
from trimtab_api.defaults import (
    DEFAULT_PARAMETERS,
    count_work,
    expand_job,
    failure_actions,
)
from trimtab_api.findings import InvalidJobError, render_path
from trimtab_api.v1alpha1.goals import Prefer, Profile
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.prune import Amount
from trimtab_api.v1alpha1.runtime import FailureAction
from trimtab_api.v1alpha1.status import FailureClass
from trimtab_api.validation import parse_job

SEARCH = "spec.stages.search"


def expand(edits: dict[str, object], *, cores: int = 4) -> Spec:
    job = parse_job(edit_manifest(edits))
    return expand_job(job, cores=cores, detected=Profile.CPU_SERVER).spec


def grid_job(*spaces: object) -> dict[str, object]:
    names = ("train.learningRate", "train.weightDecay")
    return {
        f"{SEARCH}.algorithm": {"grid": {}},
        f"{SEARCH}.numTrials": REMOVED,
        f"{SEARCH}.parallelTrials": REMOVED,
        f"{SEARCH}.parameters": [
            {"name": name, "searchSpace": space} for name, space in zip(names, spaces, strict=False)
        ],
    }


def test_a_target_without_words_gets_the_detected_profile() -> None:
    (target,) = expand({"spec.targets": [{"name": "edge"}]}).targets
    assert target.profile is Profile.CPU_SERVER
    assert (target.batch_size, target.threads, target.prefer) == (8, 4, Prefer.SPEED)


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("mobile", ("onnxruntime", "cpu", 1, 2, "Size")),
        ("cpu-edge", ("onnxruntime", "cpu", 1, 2, "Speed")),
        ("gpu-edge", ("onnxruntime", "cuda", 1, 16, "Speed")),
        ("cpu-server", ("onnxruntime", "cpu", 8, 16, "Speed")),
        ("gpu-server", ("torch", "cuda", 32, 16, "Accuracy")),
    ],
)
def test_a_profile_says_how_a_target_is_measured(
    profile: str, expected: tuple[object, ...]
) -> None:
    targets = [{"name": "edge", "profile": profile}]
    (target,) = expand({"spec.targets": targets}, cores=16).targets
    assert (
        target.runtime,
        target.device,
        target.batch_size,
        target.threads,
        target.prefer,
    ) == expected


def test_what_a_target_says_beats_its_profile() -> None:
    targets = [{"name": "edge", "profile": "gpu-server", "runtime": "onnxruntime", "device": "cpu"}]
    (target,) = expand({"spec.targets": targets}).targets
    assert (target.runtime, target.device) == ("onnxruntime", "cpu")


def test_threads_never_exceed_the_cores() -> None:
    target = {"name": "edge", "profile": "cpu-edge", "threads": 64}
    assert expand({"spec.targets": [target]}, cores=1).targets[0].threads == 1


def test_search_gets_parameters_trials_and_failures() -> None:
    search = expand({SEARCH: {}}).stages.search
    assert search is not None
    assert search.parameters == DEFAULT_PARAMETERS
    assert (search.num_trials, search.max_failed_trials) == (20, 4)


def test_grid_gets_as_many_trials_as_points() -> None:
    edits = grid_job(
        {"categorical": {"choices": [0.1, 0.2]}}, {"uniform": {"min": 0, "max": 1, "step": 0.5}}
    )
    search = expand(edits).stages.search
    assert search is not None
    assert search.num_trials == 6


def test_early_stopping_gets_the_metric_of_the_only_objective() -> None:
    for stopping, metric in (
        ({"asha": {}}, "accuracy"),
        ({"metric": "loss", "asha": {}}, "loss"),
    ):
        search = expand({f"{SEARCH}.earlyStopping": stopping}).stages.search
        assert search is not None
        assert search.early_stopping is not None
        assert search.early_stopping.metric == metric


def test_each_class_of_failures_has_its_default_actions() -> None:
    spec = expand({})
    assert {kind: [*failure_actions(spec, kind)] for kind in FailureClass} == {
        FailureClass.OOM: ["ShrinkBatch", "MarkInfeasible"],
        FailureClass.DIVERGED: ["FallbackPrecision", "MarkFailed"],
        FailureClass.TRIAL_ERROR: ["MarkFailed"],
        FailureClass.USER_ERROR: ["FailJob"],
        FailureClass.TIMEOUT: ["Retry", "MarkFailed"],
        FailureClass.NODE_LOST: ["Retry", "Retry", "Retry", "MarkFailed"],
        FailureClass.PREEMPTED: ["Retry"],
    }


def test_a_rule_of_the_job_replaces_the_actions_of_its_class_alone() -> None:
    rules = [{"class": "OOM", "actions": ["MarkFailed", "FailJob"]}]
    spec = expand({"spec.failurePolicy.rules": rules})
    assert failure_actions(spec, FailureClass.OOM) == (
        FailureAction.MARK_FAILED,
        FailureAction.FAIL_JOB,
    )
    assert failure_actions(spec, FailureClass.TIMEOUT) == (
        FailureAction.RETRY,
        FailureAction.MARK_FAILED,
    )


@pytest.mark.parametrize("kind", FailureClass)
def test_the_default_actions_of_a_class_may_be_written_down(kind: FailureClass) -> None:
    actions = [str(action) for action in failure_actions(expand({}), kind)]
    spec = expand({"spec.failurePolicy.rules": [{"class": kind.value, "actions": actions}]})
    assert [*failure_actions(spec, kind)] == actions


def test_training_gets_epochs_unless_it_has_steps() -> None:
    for train, epochs in (({}, 10), ({"steps": 5}, None), ({"epochs": 3}, 3)):
        stage = expand({"spec.stages.train": train}).stages.train
        assert stage is not None
        assert stage.epochs == epochs


def test_pruning_gets_the_amount_of_the_first_targets_profile() -> None:
    prune = expand({"spec.stages.prune": {}, "spec.stages.train.learningRate": 0.2}).stages.prune
    assert prune is not None
    assert prune.amount is not None
    assert prune.amount.flops_reduction == 0.5
    assert prune.round_to == 8
    assert prune.finetune.learning_rate == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("profile", "expected"),
    [("mobile", (0.5, 8)), ("gpu-edge", (0.4, 16)), ("cpu-server", (0.3, 8))],
)
def test_each_profile_has_its_amount(profile: str, expected: tuple[float, int]) -> None:
    prune = expand({"spec.targets": [{"name": "edge", "profile": profile}]}).stages.prune
    assert prune is not None
    assert prune.amount is not None
    assert (prune.amount.flops_reduction, prune.round_to) == expected


def test_a_gpu_server_prunes_only_what_it_is_told() -> None:
    edits: dict[str, object] = {"spec.targets": [{"name": "edge", "profile": "gpu-server"}]}
    silent = expand(edits).stages.prune
    told = expand({**edits, "spec.stages.prune.amount": {"ratio": 0.2}}).stages.prune
    assert silent is not None
    assert told is not None
    assert (silent.amount, told.amount) == (None, Amount(ratio=0.2))


@pytest.mark.parametrize("profile", Profile)
def test_half_of_the_weights_go_and_no_width_is_rounded(profile: Profile) -> None:
    edits: dict[str, object] = {
        "spec.targets": [{"name": "edge", "profile": profile}],
        "spec.stages.prune.granularity": "Weights",
    }
    prune = expand(edits).stages.prune
    assert prune is not None
    assert (prune.amount, prune.round_to) == (Amount(ratio=0.5), None)


@pytest.mark.parametrize(
    ("quantize", "expected"),
    [
        ({}, (None, None)),
        ({"method": "Static"}, ("int8", "uint8")),
        ({"method": "Static", "activations": "int8"}, ("int8", "int8")),
        ({"method": "Dynamic"}, ("int8", "uint8")),
        ({"method": "WeightOnly"}, ("int8", "fp32")),
        ({"method": "Cast"}, ("fp16", None)),
        ({"method": "Cast", "activations": "bf16"}, ("bf16", "bf16")),
        ({"method": "Cast", "activations": "fp32"}, ("fp16", "fp32")),
    ],
)
def test_a_method_says_which_types_it_has(
    quantize: dict[str, object], expected: tuple[object, object]
) -> None:
    targets = [{"name": "edge"}, {"name": "server", "runtime": "torch"}]
    stage = expand({"spec.stages.quantize": quantize, "spec.targets": targets}).stages.quantize
    assert stage is not None
    assert (stage.weights, stage.activations) == expected


def test_what_is_set_stays() -> None:
    prune = {"amount": {"ratio": 0.3}, "roundTo": 4, "finetune": {"learningRate": 1}}
    stage = expand({"spec.stages.prune": prune}).stages.prune
    assert stage is not None
    assert stage.amount is not None
    assert (stage.amount.ratio, stage.round_to, stage.finetune.learning_rate) == (0.3, 4, 1)


@pytest.mark.parametrize(
    "edits",
    [
        {},
        {"spec.stages.prune.granularity": "Weights", "spec.stages.quantize.method": "Cast"},
        {"spec.targets": [{"name": "edge", "profile": "gpu-server"}]},
    ],
)
def test_expanding_twice_changes_nothing(edits: dict[str, object]) -> None:
    once = expand_job(parse_job(edit_manifest(edits)), cores=2, detected=Profile.CPU_EDGE)
    assert expand_job(once, cores=2, detected=Profile.CPU_EDGE) == once


def test_work_counts_trials_epochs_and_candidates() -> None:
    work = count_work(expand({}))
    assert (work.trials, work.search_epochs, work.train_epochs) == (16, 192, 0)
    assert work.finetune_epochs == 12
    assert work.candidates == ("dense", "pruned", "pruned-int8", "dense-int8")
    assert work.conditional == ("pruned-int8-dynamic", "dense-int8-dynamic")
    assert work.epochs == 204


def test_a_stage_that_the_profile_skips_is_no_work() -> None:
    work = count_work(expand({"spec.targets": [{"name": "edge", "profile": "gpu-server"}]}))
    assert work.finetune_epochs == 0
    assert work.candidates == ("dense", "dense-bf16", "dense-fp16")


def test_without_a_search_the_training_counts() -> None:
    work = count_work(expand({"spec.stages": {"train": {"epochs": 5}}}))
    assert (work.trials, work.train_epochs, work.candidates) == (0, 5, ("dense",))


F34 = {
    "no-parameters": ({f"{SEARCH}.parameters": []}, f"{SEARCH}.parameters"),
    "no-choices": (
        grid_job({"categorical": {"choices": []}}),
        f"{SEARCH}.parameters[0].searchSpace.categorical.choices",
    ),
    "min-above-max": (
        grid_job({"uniform": {"min": 2, "max": 1, "step": 1}}),
        f"{SEARCH}.parameters[0].searchSpace.uniform.max",
    ),
    "log-from-zero": (
        grid_job({"logUniform": {"min": 0, "max": 1}}),
        f"{SEARCH}.parameters[0].searchSpace.logUniform.min",
    ),
    "log-below-zero": (
        grid_job({"logUniform": {"min": -1, "max": 1}}),
        f"{SEARCH}.parameters[0].searchSpace.logUniform.min",
    ),
    "no-space": (grid_job({}), f"{SEARCH}.parameters[0].searchSpace"),
    "zero-step": (
        grid_job({"uniform": {"min": 0, "max": 1, "step": 0}}),
        f"{SEARCH}.parameters[0].searchSpace.uniform.step",
    ),
    "step-below-rounding": (
        grid_job({"uniform": {"min": 0, "max": 1, "step": 1e-300}}),
        f"{SEARCH}.parameters[0].searchSpace.uniform.step",
    ),
    "no-stopping-rule": ({f"{SEARCH}.earlyStopping": {}}, f"{SEARCH}.earlyStopping"),
    "empty-point": ({f"{SEARCH}.warmStart.points": [{}]}, f"{SEARCH}.warmStart.points[0]"),
    "grid-over-unstepped": (grid_job({"uniform": {"min": 0, "max": 1}}), f"{SEARCH}.parameters"),
}


@pytest.mark.parametrize(("edits", "path"), F34.values(), ids=F34)
def test_f34_an_empty_space_is_refused_with_its_path(edits: dict[str, object], path: str) -> None:
    with pytest.raises(InvalidJobError) as caught:
        parse_job(edit_manifest(edits))
    assert path in {render_path(finding.path) for finding in caught.value.findings}


@pytest.mark.parametrize(
    "space",
    [
        {"categorical": {"choices": [0.1]}},
        {"categorical": {"choices": [0.1, 0.1]}},
        {"uniform": {"min": 0.1, "max": 0.1, "step": 1}},
    ],
)
def test_f34_a_single_point_is_one_trial(space: object) -> None:
    spec = expand({**grid_job(space), f"{SEARCH}.numTrials": 9})
    assert count_work(spec).trials == 1


def test_f34_a_finite_space_ends_after_its_distinct_points() -> None:
    edits = {
        **grid_job({"categorical": {"choices": [0.1, 0.2, 0.3]}}),
        f"{SEARCH}.algorithm": {"random": {}},
        f"{SEARCH}.numTrials": 50,
    }
    assert count_work(expand(edits)).trials == 3


def test_a_single_point_log_range_of_whole_numbers_is_finite() -> None:
    edits: dict[str, object] = {
        f"{SEARCH}.parameters": [
            {
                "name": "train.batchSize",
                "searchSpace": {"logUniform": {"min": 8, "max": 16, "type": "Int"}},
            }
        ]
    }
    assert count_work(expand(edits)).trials == 9
