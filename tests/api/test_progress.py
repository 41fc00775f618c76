"""A report passes to the operator whole, or not at all with a line that says why."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from progress_builder import make_event, make_progress, make_target_report
from schema_documents import any_json
from trimtab_api.margins import LimitKind
from trimtab_api.progress import (
    ENTRY_LIMIT,
    PROGRESS_LIMIT,
    CandidateSummary,
    Control,
    Counters,
    GpuSaving,
    LastTrial,
    LimitMargin,
    ProgressReport,
    RunningTrial,
    StageEntry,
    parse_control,
    parse_progress,
    parse_stage,
    parse_target,
)
from trimtab_api.progress_size import render_progress
from trimtab_api.stages import STAGE_ORDER, StageName, StageState
from trimtab_api.untrusted import ReportInvalidError
from trimtab_api.v1alpha1.status import (
    METRICS_LIMIT,
    BaselineStatus,
    BestTrial,
    FailureClass,
    FailureCount,
    GpuSeconds,
    ParameterValue,
    StageStatus,
    TrialState,
)

LONG = "m" * 256
FIGURE = -0.12345678901234567
NAMES = [f"{'t' * 19}{index}" for index in range(8)]
MEASURED = (
    "size_mib",
    "size_compressed_mib",
    "latency_p50_ms",
    "latency_p95_ms",
    "throughput_per_s",
    "memory_mib",
    "speedup",
)


def edit(**fields: Any) -> str:
    """Return a report as JSON with fields replaced, whatever they hold."""
    document = json.loads(render_progress(make_progress()))
    return json.dumps({**document, **fields})


def refuse(text: str) -> str:
    with pytest.raises(ReportInvalidError) as caught:
        parse_progress(text)
    message = str(caught.value)
    assert message.startswith("progress.json")
    assert len(message) <= 256
    assert message.isprintable()
    return message


def make_worst_candidate(index: int) -> CandidateSummary:
    on_targets = {f"{metric}@{name}": FIGURE for name in NAMES for metric in MEASURED}
    own = dict.fromkeys(("accuracy", "top5_accuracy", "loss", "params", "flops"), FIGURE)
    files = make_progress().candidates[0].files * 3
    return CandidateSummary(
        id=f"pruned-int8-dynamic-{index}",
        stage=StageName.QUANTIZE,
        parent="pruned",
        files=files,
        metrics={**own, **on_targets},
    )


def make_worst_margins() -> tuple[LimitMargin, ...]:
    return tuple(
        LimitMargin(
            metric=f"{'n' * 61}{index:02d}", target=name, limit=LimitKind.MIN_GAIN, value=FIGURE
        )
        for index in range(16)
        for name in NAMES
    )


def make_worst_report() -> ProgressReport:
    """Return a report with every list full and every string at its bound."""
    figures = {f"{index:02d}{'n' * 61}": FIGURE for index in range(METRICS_LIMIT)}
    candidates = tuple(make_worst_candidate(index) for index in range(8))
    return make_progress(
        sequence=2**62,
        message=LONG,
        best=BestTrial(
            trial=9999,
            value=FIGURE,
            parameters=tuple(
                ParameterValue(name=f"{index:02d}{'p' * 126}", value="v" * 256)
                for index in range(32)
            ),
            metrics=figures,
        ),
        baseline=BaselineStatus(artifact="artifacts/dense.onnx", metrics=candidates[0].metrics),
        candidates=candidates,
        stages=tuple(
            StageStatus(
                name=name, state=StageState.SUCCEEDED, metrics=figures, message=LONG, artifact=LONG
            )
            for name in STAGE_ORDER
        ),
        failures=tuple(
            FailureCount(failure_class=kind, count=9999, last_message=LONG) for kind in FailureClass
        ),
        running=tuple(
            RunningTrial(slot=slot, trial=slot, metrics=dict.fromkeys("abcd", FIGURE))
            for slot in range(16)
        ),
        last_trial=LastTrial(
            trial=9999,
            state=TrialState.SUCCEEDED,
            metrics={f"{index:02d}{'n' * 61}": FIGURE for index in range(16)},
        ),
        hypervolume=FIGURE,
        margins=make_worst_margins(),
        gpu_seconds=GpuSeconds(used=FIGURE, saved=FIGURE),
        counters=Counters(
            stage_seconds=dict.fromkeys(STAGE_ORDER, FIGURE),
            gpu_seconds_saved=dict.fromkeys(GpuSaving, FIGURE),
        ),
        events=tuple(make_event(index, LONG) for index in range(20)),
    )


def test_what_is_rendered_is_read_back() -> None:
    report = make_progress()
    assert parse_progress(render_progress(report)) == report


def test_the_other_keys_are_read_back() -> None:
    stage = StageStatus(name=StageName.PRUNE, state=StageState.SUCCEEDED)
    entry = StageEntry(uid="u", attempt=1, stage=stage)
    control = Control(attempt=2, num_trials=30, parallel_trials=2, stop=True)
    target = make_target_report()
    for model, parse in ((entry, parse_stage), (control, parse_control), (target, parse_target)):
        assert parse(model.model_dump_json(by_alias=True)) == model


def test_names_on_the_wire_are_those_of_the_manifest() -> None:
    control = Control(attempt=1, num_trials=30).model_dump(by_alias=True, exclude_none=True)
    assert control == {"attempt": 1, "numTrials": 30, "stop": False}
    assert json.loads(render_progress(make_progress()))["schema"] == 1


def test_f43_the_worst_report_fits_and_keeps_what_picks_need() -> None:
    worst = make_worst_report()
    assert len(worst.model_dump_json(by_alias=True)) > 2 * PROGRESS_LIMIT
    text = render_progress(worst)
    assert len(text.encode()) <= PROGRESS_LIMIT
    read = parse_progress(text)
    assert [entry.id for entry in read.candidates] == [entry.id for entry in worst.candidates]
    for mine, theirs in zip(read.candidates, worst.candidates, strict=True):
        assert mine.metrics == pytest.approx(theirs.metrics, rel=1e-5)
        assert mine.metrics["accuracy"] == theirs.metrics["accuracy"]
    assert (read.sequence, read.outcome) == (worst.sequence, worst.outcome)


def test_f43_no_figures_silence_the_driver() -> None:
    """Names of 80 own metrics in each candidate are more than any cut but the last can save."""
    figures = {f"{index:02d}{'ü' * 61}": FIGURE for index in range(METRICS_LIMIT)}
    worst = make_worst_report()
    candidates = tuple(entry.model_copy(update={"metrics": figures}) for entry in worst.candidates)
    read = parse_progress(render_progress(worst.model_copy(update={"candidates": candidates})))
    assert (read.sequence, read.outcome, read.candidates) == (worst.sequence, worst.outcome, ())


def test_trials_in_progress_and_events_go_first() -> None:
    events = tuple(make_event(index, LONG) for index in range(20))
    padding = make_worst_report().best
    assert padding is not None
    small = padding.model_copy(update={"metrics": {}, "parameters": padding.parameters[:31]})
    report = make_progress(events=events, best=small, message=LONG)
    long = make_progress(events=events * 4, best=small)
    read = parse_progress(render_progress(report))
    assert (len(read.events), len(read.running)) == (20, 1)
    read = parse_progress(render_progress(long))
    assert (read.running, read.events) == ((), ())
    assert read.best == small


def test_margins_and_the_last_trial_go_before_what_people_read() -> None:
    worst = make_worst_report()
    report = make_progress(
        margins=worst.margins, last_trial=worst.last_trial, gpu_seconds=worst.gpu_seconds
    )
    read = parse_progress(render_progress(report))
    assert (read.margins, read.last_trial) == (report.margins, report.last_trial)
    baseline = make_worst_candidate(0).metrics
    full = report.model_copy(
        update={"baseline": BaselineStatus(metrics=baseline), "best": worst.best}
    )
    read = parse_progress(render_progress(full))
    assert (read.running, read.margins, read.last_trial) == ((), (), None)
    assert (read.best, read.gpu_seconds) == (full.best, full.gpu_seconds)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must be JSON"),
        ("{", "must be JSON"),
        ("[]", "must be an object but is []"),
        ("null", "must be an object"),
        ("[" * 20_000, "must be JSON: recursion limit exceeded"),
        ('{"uid": NaN}', "must be JSON"),
        ("{}", "uid: is required"),
        ('{"uid": "\\ud800"}', "must be JSON"),
    ],
)
def test_f44_what_is_no_report_is_refused(text: str, words: str) -> None:
    assert words in refuse(text)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"schema": 2}, "schema: must be at most 1 (got 2)"),
        ({"attempt": 0}, "attempt: must be at least 1"),
        ({"attempt": "1"}, "attempt: must be an integer"),
        ({"sequence": -1}, "sequence: must be at least 0"),
        ({"sequence": 2**63}, "sequence: must be an integer of 64 bits"),
        ({"uid": ""}, "uid: "),
        ({"stage": "dance"}, "stage: must be search, train"),
        ({"message": "x" * 257}, "message: must have at most 256 characters"),
        ({"time": "x" * 1025}, "time: must have at most 1024 characters"),
        ({"best": {"trial": 1, "value": 1e300}}, "best.value: must be a finite number up to"),
        ({"problem": {"reason": "Forbidden"}}, "must be StorageFull or StorageUnreachable"),
        ({"outcome": {"result": "Maybe"}}, "outcome.result: must be Succeeded, Failed or Stopped"),
        ({"stages": [{"name": "prune"}] * 2}, "stages: must name each entry once"),
        ({"targets": [{"name": "a"}] * 2}, "targets: must name each entry once"),
        (
            {"margins": [{"metric": "a b", "target": "t", "limit": "max", "value": 1}]},
            "margins[0].metric: ",
        ),
        (
            {"margins": [{"metric": "a", "target": "t", "limit": "most", "value": 1}]},
            "limit: must be",
        ),
        ({"lastTrial": {"trial": 1, "state": "Odd"}}, "lastTrial.state: must be"),
        ({"running": [{"slot": 0, "trial": 0}] * 17}, "running: must have at most 16 entries"),
    ],
)
def test_f44_a_field_that_does_not_fit_is_named(fields: dict[str, Any], words: str) -> None:
    assert words in refuse(edit(**fields))


def test_f44_a_number_without_end_is_refused() -> None:
    text = edit(hypervolume=1).replace('"hypervolume": 1', '"hypervolume": 1e999')
    assert "hypervolume: must be a finite number" in refuse(text)


def test_f43_a_report_past_its_bound_is_refused_with_its_size() -> None:
    assert refuse("x" * 40_000) == "progress.json must have at most 32768 bytes but has 40000"
    assert "has 1048577" in refuse("x" * (2**20 + 1))
    with pytest.raises(ReportInvalidError, match=f"at most {ENTRY_LIMIT} bytes"):
        parse_target("x" * 5000)


def test_f44_strings_are_cleaned_wherever_they_stand() -> None:
    report = parse_progress(edit(message="a\x1b[31mb\u202e", baseline={"metrics": {"a\nb": 1.0}}))
    assert report.message == "a [31mb "
    assert report.baseline is not None
    assert list(report.baseline.metrics) == ["a b"]


def test_fields_of_a_later_version_are_ignored() -> None:
    later = edit(temperature=0.5, best={"trial": 1, "value": 0.5, "seed": 3})
    read = parse_progress(later)
    assert read.best == BestTrial(trial=1, value=0.5)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_f44_no_content_raises_anything_else(data: st.DataObject) -> None:
    document = json.loads(render_progress(make_progress()))
    here: Any = document
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        key = data.draw(st.sampled_from(keys))
        if not (isinstance(here[key], dict | list) and here[key]) or data.draw(st.booleans()):
            break
        here = here[key]
    here[key] = data.draw(any_json())
    try:
        parse_progress(json.dumps(document))
    except ReportInvalidError as error:
        assert str(error).isprintable()


@given(st.text(max_size=200))
def test_f44_no_text_raises_anything_else(text: str) -> None:
    with pytest.raises(ReportInvalidError):
        parse_progress(text)
