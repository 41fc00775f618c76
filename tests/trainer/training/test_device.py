"""The device is the one asked for, or the best that works."""

import pytest
import torch

from trimtab_api.v1alpha1.runtime import Device
from trimtab_trainer.errors import UserError
from trimtab_trainer.training.device import has_working_cuda, resolve_device


@pytest.mark.parametrize(
    ("wanted", "works", "expected"),
    [
        (Device.AUTO, True, "cuda"),
        (Device.AUTO, False, "cpu"),
        (Device.CPU, True, "cpu"),
        (Device.CUDA, True, "cuda"),
    ],
)
def test_the_device_is_resolved(wanted: Device, works: bool, expected: str) -> None:
    assert resolve_device(wanted, cuda_works=works) == expected


def test_a_gpu_that_is_asked_for_and_missing_is_the_users_error() -> None:
    with pytest.raises(UserError, match=r"cluster\.device is cuda but this process has no GPU"):
        resolve_device(Device.CUDA, cuda_works=False)


def test_a_gpu_that_is_there_and_fails_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> torch.Tensor:
        raise RuntimeError("no kernel image is available for execution on the device")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", refuse)
    assert not has_working_cuda()


def test_without_a_gpu_none_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not has_working_cuda()
