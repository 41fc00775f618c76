"""Jobs drawn from the schema of the CRD end in a job or in readable findings, never otherwise."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from report_builder import make_manifest
from schema_documents import any_json, broken_documents, documents
from source_tree import ROOT
from trimtab_api.defaults import count_work, expand_job, failure_actions
from trimtab_api.feasibility import trial_limits
from trimtab_api.findings import InvalidJobError
from trimtab_api.fingerprint import fingerprint_job
from trimtab_api.metrics import KNOWN_METRICS
from trimtab_api.overrides import apply_parameters
from trimtab_api.spaces import find_value
from trimtab_api.techniques import MOST_CANDIDATES, plan_formats
from trimtab_api.v1alpha1.goals import Profile
from trimtab_api.v1alpha1.job import OptimizationJob
from trimtab_api.v1alpha1.status import FailureClass
from trimtab_api.validation import parse_job

CRD = YAML(typ="safe").load(ROOT / "crds" / "optimizationjobs.trimtab.dev.yaml")
SPEC: dict[str, Any] = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]

UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

# A schema leaves these open; drawn at random they would lead nowhere in nearly every job.
RATES = {"logUniform": {"min": 0.001, "max": 0.1}}
SIZES = {"uniform": {"min": 16, "max": 64, "step": 16, "type": "Int"}}
TWO_PARAMETERS = [
    {"name": "train.learningRate", "searchSpace": RATES},
    {"name": "train.batchSize", "searchSpace": SIZES},
]
_SEARCH = SPEC["properties"]["stages"]["properties"]["search"]["properties"]
_SPACE = _SEARCH["parameters"]["items"]["properties"]["searchSpace"]
ANY_PARAMETERS = st.dictionaries(
    st.sampled_from(["model.args.width", "model.args.depth"]), documents(_SPACE, {}), min_size=1
).map(lambda spaces: [{"name": name, "searchSpace": spaces[name]} for name in spaces])
KNOWN: dict[str, st.SearchStrategy[Any]] = {
    "metric": st.sampled_from([*KNOWN_METRICS]),
    "objectives": st.sampled_from(
        [
            [{"metric": "accuracy", "direction": "Maximize"}],
            [{"metric": "loss", "direction": "Minimize", "goal": 0.1}],
            [
                {"metric": "accuracy", "direction": "Maximize"},
                {"metric": "params", "direction": "Minimize"},
            ],
        ]
    ),
    "targets": st.sampled_from(
        [
            [{"name": "edge"}, {"name": "server", "threads": 9}],
            [{"name": "edge", "profile": "gpu-server"}, {"name": "server", "profile": "mobile"}],
            [{"name": "edge", "runtime": "openvino"}, {"name": "server", "runtime": "torch"}],
        ]
    ),
    "target": st.sampled_from(["edge", "server"]),
    "parameters": st.just(TWO_PARAMETERS) | ANY_PARAMETERS,
    "stages.search.warmStart.points": st.lists(
        st.sampled_from([{"train.batchSize": 32}, {"train.learningRate": 0.01}]), max_size=2
    ),
    "batchSize": st.integers(1024, 4096),
    "epochs": st.integers(1, 9),
    "maxBadSamples": st.just(0),
    "dataset.args": st.just({}),
    "normalize": st.just({"mean": [0.5], "std": [0.25]}),
    "split": st.sampled_from([{}, {"validation": 0.2, "test": 0.1}]),
    "numWorkers": st.integers(1, 2),
    "accumulateSteps": st.integers(1, 8),
    "parallelTrials": st.integers(1, 4),
    "numTrials": st.integers(4, 10000),
    "roundTo": st.sampled_from([1, 8, 64]),
    "stages.prune": st.sampled_from(
        [
            {},
            {"allocation": "Sensitivity", "sensitivity": {"ratios": [0.1, 0.5], "samples": 9}},
            {"granularity": "Weights", "importance": "Fisher", "layerRatios": {"a": 0.5}},
            {"granularity": "Filters", "roundTo": 4, "amount": {"ratio": 0.75}},
        ]
    ),
    "stages.quantize": st.sampled_from(
        [
            {},
            {"method": "Cast", "weights": "bf16", "onMiss": []},
            {"method": "Cast", "activations": "bf16"},
            {"method": "Static", "activations": "int8", "keepFloat": ["a*"]},
            {"method": "Dynamic", "perChannel": False},
            {"method": "WeightOnly"},
        ]
    ),
    "formats": st.sampled_from([["onnx"], ["openvino", "pt2"]]),
    "actions": st.just(["FailJob"]),
    "percentile": st.floats(51, 100),
}
_STAGES = SPEC["properties"]["stages"]
# Most jobs train; the few that do not are among the broken ones.
TRAINED = {
    **SPEC,
    "properties": {**SPEC["properties"], "stages": {**_STAGES, "required": ["train"]}},
}
SPECS = documents(TRAINED, KNOWN)
MUTABLE = {
    ("stages", "search", "numTrials"): st.integers(4, 10000),
    ("stages", "search", "parallelTrials"): st.integers(1, 4),
    ("stages", "search", "maxFailedTrials"): st.integers(0, 10000),
    ("stages", "search", "trialTimeoutSeconds"): st.integers(1, 604800),
    ("stages", "search", "warmStart"): st.just({"fromJob": "yesterday"}),
    ("cluster",): st.sampled_from([{"device": "cpu"}, {"device": "Auto"}]),
    ("failurePolicy",): st.just({"rules": [{"class": "Timeout", "actions": ["MarkFailed"]}]}),
}
IMMUTABLE = {
    ("seed",): st.integers(0, 9),
    ("dataset",): st.just({"idx": "pvc://data/mnist", "cache": "Node"}),
    ("stages", "train"): st.sampled_from([{}, {"epochs": 3}, {"precision": {"dtype": "fp16"}}]),
    ("stages", "search", "earlyStopping"): st.sampled_from([{"asha": {}}, {"median": {}}]),
    ("stages", "search", "parallelTrials"): st.just(17),
    ("model",): any_json(),
}


def make_document(spec: Any) -> dict[str, Any]:
    return {**make_manifest(), "spec": spec}


def parse(document: Any) -> OptimizationJob | None:
    """Return the job; for a document that is refused None, once its findings were looked at."""
    before = json.dumps(document)
    try:
        return parse_job(document)
    except InvalidJobError as error:
        assert error.findings
        for finding in error.findings:
            assert finding.expectation
            assert len(finding.describe()) < 4000
        return None
    finally:
        assert json.dumps(document) == before


def set_field(spec: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    *parents, last = path
    for part in parents:
        spec = spec[part]
    spec[last] = value


def dump(job: OptimizationJob) -> Any:
    return json.loads(job.model_dump_json(by_alias=True, exclude_none=True))


@settings(UNTIMED, max_examples=100)
@given(spec=SPECS)
def test_f32_a_job_that_is_valid_can_be_planned(spec: Any) -> None:
    job = parse(make_document(spec))
    event(f"valid: {job is not None}")
    if job is None:
        return
    expanded = expand_job(job, cores=2, detected=Profile.CPU_EDGE)
    assert parse_job(dump(expanded)) == expanded
    assert fingerprint_job(parse_job(dump(job))) == fingerprint_job(job)
    work = count_work(expanded.spec)
    search = expanded.spec.stages.search
    assert 1 <= len(work.candidates) <= MOST_CANDIDATES
    assert set(plan_formats(expanded.spec)) >= set(expanded.spec.stages.export.formats)
    assert work.trials <= (search.num_trials or 0 if search else 0)
    assert len({limit.name for limit in trial_limits(expanded.spec)}) <= len(job.spec.constraints)
    assert all(failure_actions(job.spec, kind) for kind in FailureClass)


@settings(UNTIMED, max_examples=150)
@given(spec=broken_documents(SPECS))
def test_f32_a_job_with_a_fault_ends_in_findings_or_in_a_job(spec: Any) -> None:
    parse(make_document(spec))


@settings(UNTIMED, max_examples=60)
@given(name=any_json(), kind=any_json(), spec=any_json())
def test_f32_an_envelope_with_any_content_ends_in_findings(name: Any, kind: Any, spec: Any) -> None:
    document = {"apiVersion": kind, "kind": kind, "metadata": {"name": name}, "spec": spec}
    assert parse(document) is None


@settings(UNTIMED, max_examples=80)
@given(data=st.data())
def test_f32_after_any_edits_a_job_is_what_its_last_document_says(data: st.DataObject) -> None:
    document = make_manifest()
    fields = {**MUTABLE, **IMMUTABLE}
    job, last = parse_job(document), document
    for path in data.draw(st.lists(st.sampled_from(sorted(fields)), max_size=6)):
        document = json.loads(json.dumps(last))
        set_field(document["spec"], path, data.draw(fields[path]))
        accepted = parse(document)
        if accepted is not None:
            job, last = accepted, document
    fresh = parse_job(json.loads(json.dumps(last)))
    assert job == fresh
    assert fingerprint_job(job) == fingerprint_job(fresh)
    works = [
        count_work(expand_job(entry, cores=2, detected=Profile.CPU_EDGE).spec)
        for entry in (job, fresh)
    ]
    assert works[0] == works[1]


@settings(UNTIMED, max_examples=40)
@given(data=st.data(), paths=st.lists(st.sampled_from(sorted(MUTABLE)), min_size=1, max_size=6))
def test_f31_no_edit_of_a_field_that_may_change_leaves_the_study(
    data: st.DataObject, paths: list[tuple[str, ...]]
) -> None:
    document = make_manifest()
    for path in paths:
        set_field(document["spec"], path, data.draw(MUTABLE[path]))
    assert fingerprint_job(parse_job(document)) == fingerprint_job(parse_job(make_manifest()))


@settings(UNTIMED, max_examples=60)
@given(
    rate=st.floats(0.001, 0.1),
    size=st.sampled_from([16, 32, 48, 64]),
    epochs=st.integers(1, 100),
)
def test_f32_every_point_of_a_valid_space_is_a_valid_recipe(
    rate: float, size: int, epochs: int
) -> None:
    train = {"accumulateSteps": 8, "numWorkers": 2, "epochs": epochs}
    stages = {"search": {"parameters": TWO_PARAMETERS}, "train": train}
    spec = parse_job(make_document({**make_manifest()["spec"], "stages": stages})).spec
    assert spec.stages.search is not None
    assert spec.stages.search.parameters is not None
    point = {"train.learningRate": rate, "train.batchSize": size}
    for parameter in spec.stages.search.parameters:
        assert find_value(parameter.search_space, point[parameter.name]) is not None
    again = dump(parse_job(make_manifest())) | {
        "spec": json.loads(
            apply_parameters(spec, point).model_dump_json(by_alias=True, exclude_none=True)
        )
    }
    assert parse(again) is not None


@pytest.mark.parametrize("path", [*MUTABLE, *IMMUTABLE])
def test_f32_the_edits_name_fields_that_there_are(path: tuple[str, ...]) -> None:
    node = SPEC
    for part in path:
        node = node["properties"][part]
