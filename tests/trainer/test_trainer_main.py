"""What a pod starts ends with a code and one line when the pod is none of a job."""

import pytest

from trimtab_trainer.__main__ import main

SET = {
    "TRIMTAB_JOB": "digits",
    "TRIMTAB_NAMESPACE": "team",
    "TRIMTAB_JOB_UID": "uid-1",
    "TRIMTAB_ATTEMPT": "1",
    "TRIMTAB_STORAGE": "pvc://runs",
}


@pytest.mark.parametrize("arguments", [["drive"], ["measure", "edge"]])
def test_outside_a_pod_of_a_job_it_says_what_is_missing(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (*SET, "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    assert main(arguments) == 5
    assert "TRIMTAB_JOB" in caplog.text
    for name, value in SET.items():
        monkeypatch.setenv(name, value)
    assert main(arguments) == 5
    assert "KUBERNETES_SERVICE_HOST" in caplog.text


@pytest.mark.parametrize("arguments", [[], ["train"], ["measure"]])
def test_another_command_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
