"""An exception becomes a class and one line that names what the user can act on."""

import sys
from pathlib import Path

import pytest
import torch
from torch import distributed

from trimtab_api.v1alpha1.status import FailureClass
from trimtab_trainer.errors import DatasetInvalidError, OutOfMemoryError, WorkerLostError
from trimtab_trainer.execution.failures import (
    FailureTrap,
    describe_failure,
    describe_killed_worker,
    describe_lost_worker,
)

GLOO = RuntimeError(
    "[/third_party/gloo/gloo/transport/tcp/pair.cc:548] Connection closed by peer [127.0.0.1]:99"
)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), FailureClass.OOM),
        (MemoryError(), FailureClass.OOM),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: no memory"), FailureClass.OOM),
        (DatasetInvalidError("cat.jpg is no image"), FailureClass.USER_ERROR),
        (RuntimeError("shapes differ"), FailureClass.TRIAL_ERROR),
        (GLOO, FailureClass.NODE_LOST),
        (distributed.DistNetworkError("timed out"), FailureClass.NODE_LOST),
        (SystemExit(1), FailureClass.TRIAL_ERROR),
    ],
    ids=str,
)
def test_an_error_has_its_class(error: BaseException, expected: FailureClass) -> None:
    assert describe_failure(error, code_dir=None).failure_class is expected


def test_only_a_lost_connection_to_the_team_is_an_echo() -> None:
    assert describe_failure(GLOO, code_dir=None).lost_peer
    assert not describe_failure(ConnectionResetError("a download"), code_dir=None).lost_peer


def test_the_last_frame_of_the_users_code_is_named(tmp_path: Path) -> None:
    module = tmp_path / "users_network.py"
    module.write_text("import json\n\ndef forward():\n    json.loads('{')\n")
    code = compile(module.read_text(), str(module), "exec")
    names: dict[str, object] = {}
    exec(code, names)
    forward = names["forward"]
    assert callable(forward)
    with FailureTrap(tmp_path) as trap:
        forward()
    assert trap.failure is not None
    assert trap.failure.message.endswith(" (users_network.py:4 forward)")


def test_an_interrupt_of_the_driver_passes_the_trap() -> None:
    with pytest.raises(KeyboardInterrupt), FailureTrap(None):
        raise KeyboardInterrupt


def test_no_failure_where_nothing_was_raised() -> None:
    with FailureTrap(None) as trap:
        sys.getrefcount(None)
    assert trap.failure is None


def test_f41_the_memory_figure_is_told() -> None:
    said = (
        "1 worker(s) were killed due to the node running low on memory. Memory on the node"
        " (IP: 192.0.2.2, ID: 3c) was 31.20GB used / 32.00GB limit (0.975)\nOOM kill reason: …"
    )
    failure = describe_killed_worker(said)
    assert failure.failure_class is FailureClass.OOM
    assert failure.message.endswith("31.20GB used / 32.00GB limit")
    assert failure.traceback == said
    assert type(failure.error) is OutOfMemoryError


def test_other_words_on_memory_are_told_as_they_are() -> None:
    failure = describe_killed_worker("no memory\nleft " + "x" * 500)
    assert "no memory left" in failure.message
    assert len(failure.message) <= 256


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "The actor died.\n pid: 3\n Worker exit detail: Killed by signal 9.",
            "Killed by signal 9.",
        ),
        ("\nthe node is gone\nID: 3", "the node is gone"),
    ],
)
def test_how_a_process_died_is_told(said: str, expected: str) -> None:
    failure = describe_lost_worker(said)
    assert failure.failure_class is FailureClass.NODE_LOST
    assert failure.message == f"the process that ran the work died: {expected}"
    assert type(failure.error) is WorkerLostError
