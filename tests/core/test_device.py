"""Devices that are not there, and which errors are those of the machine."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from closemesh.core.device import choose_device, fault_of, peak_gpu_mb, reset_gpu_peak
from closemesh.core.errors import InputError, NonFiniteError

UNKNOWN = ["meta", "cuda:77", "tpu", "cpu\n", "\x1b[31m", "9" * 5000, "hpu", " ", "cuda:-5", "\udcff"]


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_device_that_is_not_there_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOSEMESH_DEVICE", raising=False)
    with pytest.raises(InputError, match=r"use --device cpu$") as given:
        choose_device(name)
    monkeypatch.setenv("CLOSEMESH_DEVICE", name)
    with pytest.raises(InputError, match=r"correct \$CLOSEMESH_DEVICE$"):
        choose_device()
    assert choose_device("cpu").type == "cpu"
    assert str(given.value).isprintable() and len(str(given.value)) < 150


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOSEMESH_DEVICE", "")
    assert choose_device().type in {"cpu", "cuda"}


def test_a_lost_gpu_has_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", fail)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", fail)
    reset_gpu_peak()
    assert peak_gpu_mb() is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "memory"),
        (torch.cuda.OutOfMemoryError("no text"), "memory"),
        (RuntimeError("CUDA error: out of memory"), "memory"),
        (RuntimeError("CUDA error: device-side assert triggered"), "device"),
        (RuntimeError("Expected all tensors to be on the same device, but found cuda:0 and cpu!"), "device"),
        (NotImplementedError("The operator is not currently implemented for the MPS device"), "device"),
        (np.linalg.LinAlgError("Singular matrix"), "numbers"),
        (ValueError("array must not contain infs or NaNs"), "numbers"),
        (NonFiniteError("transl is nan"), "numbers"),
        (InputError("out of memory of CUDA with NaN"), None),
        (ValueError("frames jumps over the nanny"), None),
        (KeyError("nan"), None),
    ],
)
def test_errors_of_the_machine_by_kind(error: Exception, kind: str | None) -> None:
    fault = fault_of(error, on_gpu=True)
    assert (fault and fault.kind) == kind
    on_cpu = fault_of(error, on_gpu=False)
    assert (on_cpu and on_cpu.kind) == (None if kind == "device" else kind)


def test_the_errors_that_torch_raises() -> None:
    with pytest.raises(Exception, match="singular") as raised:
        torch.linalg.inv(torch.zeros(2, 2))
    fault = fault_of(raised.value, on_gpu=False)
    assert fault is not None and fault.kind == "numbers"
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**50, dtype=torch.float64)
    fault = fault_of(raised.value, on_gpu=False)
    assert fault is not None and fault.kind == "memory"
