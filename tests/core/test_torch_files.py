"""Files of torch: dense tensors and plain containers come through, no more memory than the file holds is taken."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from door_process import ACCEPTED, read_in_process

from closemesh.core.errors import InputError
from closemesh.core.torch_files import check_tensors
from closemesh.core.unpickling import load_torch

FORMATS = pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "before 1.6"])
NUMBERS = torch.arange(12.0).reshape(3, 4)


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("true",)


def saved(value: Any, is_zip: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=is_zip)
    return file.getvalue()


def repacked(whole: bytes, change: dict[str, bytes] | None = None, compression: int = zipfile.ZIP_STORED) -> bytes:
    """The archive with other entries."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(file, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, (change or {}).get(name.split("/", 1)[1], old.read(name)))
    return file.getvalue()


def assert_same(read: Any, value: Any) -> None:
    if isinstance(value, torch.Tensor):
        assert read.dtype == value.dtype and torch.equal(read, value)
    elif isinstance(value, dict):
        assert list(read) == list(value)
        for key in value:
            assert_same(read[key], value[key])
    elif isinstance(value, list | tuple):
        assert len(read) == len(value)
        for one, other in zip(read, value, strict=True):
            assert_same(one, other)
    else:
        assert read == value


@FORMATS
def test_tensors_and_containers_come_through(tmp_path: Path, is_zip: bool) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(5, 3)).sum().backward()
    optimizer.step()
    value = {
        "views": [NUMBERS, NUMBERS[1:, ::2], NUMBERS.T, torch.ones(1, 3).expand(7, 3)],
        "types": [
            NUMBERS.to(t) for t in (torch.half, torch.bfloat16, torch.double, torch.int8, torch.long, torch.bool)
        ],
        "small": (torch.tensor(3), torch.zeros(0, 3), torch.nn.Parameter(NUMBERS), NUMBERS.shape),
        "plain": [None, 1.5, "дует", b"bytes", {3}, True, 2**40],
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    (tmp_path / "a.pt").write_bytes(saved(value, is_zip))
    assert_same(load_torch(tmp_path / "a.pt"), value)
    shared = load_torch(tmp_path / "a.pt")["views"]
    shared[0][1, 0] = 99
    assert shared[1][0, 0] == 99


def hostile_values() -> dict[str, Any]:
    compressed = torch.eye(3).to_sparse_csr
    return {
        "sparse": torch.eye(3).to_sparse(),
        "compressed": compressed(),
        "meta": torch.empty(3, device="meta"),
        "repeated": torch.ones(1).expand(10**6, 3000),
        "overlapping": torch.ones(20_000).as_strided((10_000, 10_000), (1, 1)),
        "code": Malicious(),
        "module": torch.nn.Linear(2, 2),
        "nested": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
        "many_views": [torch.ones(1).expand(10**6, 20) for _ in range(20)],
    }


@FORMATS
@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_other_tensors_are_refused_in_one_line(tmp_path: Path, is_zip: bool) -> None:
    files = {f"{name}.pt": saved({"x": value}, is_zip) for name, value in hostile_values().items()}
    answers = read_in_process(tmp_path / "files", files, "closemesh.core.unpickling:load_torch")
    assert [name for name, answer in answers.items() if answer == ACCEPTED] == []


def hostile_archives() -> dict[str, bytes]:
    whole = saved({"x": NUMBERS})
    old = saved({"x": NUMBERS}, False)
    zeros = saved({"x": torch.zeros(1 << 20)})
    return {
        "packed": repacked(zeros, compression=zipfile.ZIP_DEFLATED),
        "short_storage": repacked(whole, {"data/0": bytes(40)}),
        "long_storage": repacked(whole, {"data/0": bytes(4000)}),
        "byteorder": repacked(whole, {"byteorder": b"big"}),
        "no_pickle": repacked(whole, {"data.pkl": b""}),
        "booleans": repacked(saved(torch.ones(4, dtype=torch.bool)), {"data/0": b"\x02" * 4}),
        "cut": whole[:-50],
        "checksum": whole.replace(NUMBERS.numpy().tobytes(), NUMBERS.numpy().tobytes()[::-1]),
        "old_cut": old[:-20],
        "old_start": old[:30],
        "text": b"<html>",
        "empty": b"",
    }


def test_damaged_archives_are_one_line(tmp_path: Path) -> None:
    files = {f"{name}.pt": content for name, content in hostile_archives().items()}
    answers = read_in_process(tmp_path / "files", files, "closemesh.core.unpickling:load_torch")
    assert [name for name, answer in answers.items() if answer == ACCEPTED] == []


def test_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.pt: no such file"):
        load_torch(tmp_path / "a.pt")


def test_tensors_of_any_network_are_checked(tmp_path: Path) -> None:
    """Of files whose classes another package reads."""
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    (tmp_path / "a.pt").write_bytes(saved({"model": network, "names": {0: "person"}, "paths": [Path("x")]}))
    check_tensors(tmp_path / "a.pt")
    network[0].weight.data = torch.ones(1).expand(10**6, 3000)
    for content in (saved({"model": network}), hostile_archives()["packed"], hostile_archives()["short_storage"]):
        (tmp_path / "a.pt").write_bytes(content)
        with pytest.raises(Exception, match=r"it (makes|unpacks|has)"):
            check_tensors(tmp_path / "a.pt")
