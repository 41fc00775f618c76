"""The trial log keeps every finished record through torn writes, and names what is corrupt."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canary import Canary
from trimtab_trainer.errors import StudyMismatchError, TrialLogCorruptError
from trimtab_trainer.storage.trial_log import TrialLog

RECORDS = [{"number": number, "value": 0.1 * number, "name": "tür"} for number in range(3)]
FRESH = {"number": 9}


def make_log(folder: Path, name: str = "trials", *, fingerprint: str = "f1") -> TrialLog:
    return TrialLog(folder / name, fingerprint=fingerprint)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    log = make_log(tmp_path)
    for record in RECORDS:
        log.append(record)
    return tmp_path / "trials"


def test_no_file_is_an_empty_log(tmp_path: Path) -> None:
    assert make_log(tmp_path).read() == []
    assert list(tmp_path.iterdir()) == []


def test_records_come_back_in_order(path: Path) -> None:
    assert make_log(path.parent).read() == RECORDS


def test_a_second_start_appends(path: Path) -> None:
    log = TrialLog(path, fingerprint="f1", attempt=2)
    log.append(FRESH)
    assert make_log(path.parent).read() == [*RECORDS, FRESH]


def test_a_record_is_synced_before_append_returns(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bytes] = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(path.read_bytes()))
    make_log(path.parent).append(FRESH)
    assert synced == [path.read_bytes()]


def test_f53_a_log_cut_at_any_byte_of_its_last_record_loses_that_record_only(path: Path) -> None:
    whole = path.read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    for cut in range(start, len(whole)):
        path.write_bytes(whole[:cut])
        log = make_log(path.parent)
        assert log.read() == RECORDS[:-1]
        assert path.read_bytes() == whole[:cut], "reading changes nothing"
        log.append(FRESH)
        assert make_log(path.parent).read() == [*RECORDS[:-1], FRESH]


def test_f53_a_log_cut_in_its_first_line_is_empty(path: Path) -> None:
    whole = path.read_bytes()
    for cut in range(whole.index(b"\n") + 1):
        path.write_bytes(whole[:cut])
        log = make_log(path.parent)
        assert log.read() == []
        log.append(FRESH)
        assert make_log(path.parent).read() == [FRESH]


def test_f53_a_last_record_of_zeros_is_dropped(path: Path) -> None:
    whole = path.read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    path.write_bytes(whole[:start] + bytes(len(whole) - start))
    log = make_log(path.parent)
    log.append(FRESH)
    assert make_log(path.parent).read() == [*RECORDS[:-1], FRESH]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_f54_a_flipped_bit_before_the_last_record_is_found(path: Path, data: st.DataObject) -> None:
    whole = path.read_bytes()
    last = whole[:-1].rindex(b"\n")
    position = data.draw(st.integers(0, last))
    flipped = bytearray(whole)
    flipped[position] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(flipped)
    try:
        with pytest.raises(TrialLogCorruptError, match="trials"):
            make_log(path.parent).read()
    finally:
        path.write_bytes(whole)


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_f54_the_error_names_file_and_sequence(path: Path) -> None:
    lines = lines_of(path)
    lines[2] = lines[2].replace(b'"number":1', b'"number":7')
    path.write_bytes(b"".join(lines))
    with pytest.raises(TrialLogCorruptError, match=rf"{path}.*record 2 "):
        make_log(path.parent).append(FRESH)
    assert lines_of(path) == lines


@pytest.mark.parametrize("order", [(0, 2, 1, 3), (0, 1, 1, 2, 3), (0, 1, 3, 3), (1, 2, 3)], ids=str)
def test_f54_moved_repeated_and_lost_records_are_found(path: Path, order: tuple[int, ...]) -> None:
    lines = lines_of(path)
    path.write_bytes(b"".join(lines[index] for index in order))
    with pytest.raises(TrialLogCorruptError):
        make_log(path.parent).read()


def test_f54_a_record_of_another_study_is_found(path: Path) -> None:
    other = make_log(path.parent, "other", fingerprint="f2")
    for record in RECORDS:
        other.append(record)
    lines = lines_of(path)
    lines[1] = lines_of(path.parent / "other")[1]
    path.write_bytes(b"".join(lines))
    with pytest.raises(TrialLogCorruptError, match="record 1 "):
        make_log(path.parent).read()


def test_f54_a_block_of_zeros_in_the_middle_is_found(path: Path) -> None:
    lines = lines_of(path)
    lines[2] = bytes(len(lines[2]) - 1) + b"\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(TrialLogCorruptError, match="record 2 "):
        make_log(path.parent).read()


def test_f55_a_log_of_another_study_is_refused_with_both_fingerprints(path: Path) -> None:
    log = make_log(path.parent, fingerprint="f2")
    before = path.read_bytes()
    with pytest.raises(StudyMismatchError, match=r"study f1 .*study f2 "):
        log.read()
    with pytest.raises(StudyMismatchError):
        log.append(FRESH)
    assert path.read_bytes() == before


def test_f55_a_log_of_another_schema_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab_trainer.storage.trial_log._SCHEMA", 2)
    with pytest.raises(StudyMismatchError, match=r"schema 1\).*schema 2\)"):
        make_log(path.parent).read()


def test_a_failed_append_can_be_repeated(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = make_log(path.parent)

    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="No space"):
            log.append(FRESH)
    log.append(FRESH)
    assert make_log(path.parent).read() == [*RECORDS, FRESH]


def test_a_number_that_json_lacks_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        make_log(path.parent).append({"value": float("inf")})
    assert make_log(path.parent).read() == RECORDS


def test_f60_pickles_in_place_of_records_are_refused_and_run_no_code(tmp_path: Path) -> None:
    path = tmp_path / "trials"
    canary = Canary(tmp_path / "canary")
    content = canary.content
    path.write_bytes(content + b"\n" + content + b"\n")
    with pytest.raises(TrialLogCorruptError):
        make_log(tmp_path).read()
    canary.check()
