"""Pickles: arrays and plain containers come through, anything else is refused unrun."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from closemesh.core.errors import InputError
from closemesh.core.unpickling import load_pickle, load_pickled_npy


class Malicious:
    """Runs a command when it is unpickled in the ordinary way."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_arrays_and_containers_come_through(tmp_path: Path, protocol: int) -> None:
    data = {
        "poses": [np.arange(6.0).reshape(2, 3), np.arange(3, dtype=np.int32)],
        "gender": "m",
        "scalar": np.float64(2.5),
        "objects": np.array([np.zeros(2), np.ones(3)], dtype=object),
        "ordered": OrderedDict(a=(1, None, True, b"bytes")),
    }
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(data, protocol=protocol))
    read = load_pickle(tmp_path / "a.pkl")
    np.testing.assert_array_equal(read["poses"][0], data["poses"][0])
    assert read["poses"][1].dtype == np.int32 and read["scalar"] == 2.5 and read["ordered"] == data["ordered"]
    np.testing.assert_array_equal(read["objects"][1], np.ones(3))


def test_pickles_of_python_2_are_read(tmp_path: Path) -> None:
    # {'name': 'caf\xe9'} as Python 2 wrote it.
    (tmp_path / "old.pkl").write_bytes(b"(dp0\nS'name'\np1\nS'caf\\xe9'\np2\ns.")
    assert load_pickle(tmp_path / "old.pkl") == {"name": "caf\xe9"}


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    run = tmp_path / "run"
    for data in (Malicious(run), {"poses": [np.zeros(3), Malicious(run)]}):
        (tmp_path / "bad.pkl").write_bytes(pickle.dumps(data, protocol=protocol))
        with pytest.raises(InputError, match=r"bad\.pkl.*system"):
            load_pickle(tmp_path / "bad.pkl")
    np.save(tmp_path / "bad.npy", np.array({"a": Malicious(run)}, dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"bad\.npy.*system"):
        load_pickled_npy(tmp_path / "bad.npy")
    assert not run.exists()


@pytest.mark.parametrize(
    "asked", [b"cbuiltins\neval\n(S'1'\ntR.", b"cnumpy\nload\n(S'x'\ntR.", b"c_codecs\nlookup\n(S'x'\ntR."]
)
def test_no_other_function_may_be_named(tmp_path: Path, asked: bytes) -> None:
    (tmp_path / "bad.pkl").write_bytes(asked)
    with pytest.raises(InputError, match="neither array nor plain container"):
        load_pickle(tmp_path / "bad.pkl")


def test_damaged_and_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "cut.pkl").write_bytes(pickle.dumps({"a": np.zeros(9)})[:-20])
    for name in ("cut.pkl", "missing.pkl"):
        with pytest.raises(InputError, match=name):
            load_pickle(tmp_path / name)


def test_one_object_in_an_npy_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", {"aria01": {"transl": np.arange(3)}}, allow_pickle=True)  # type: ignore[arg-type]
    np.testing.assert_array_equal(load_pickled_npy(tmp_path / "a.npy")["aria01"]["transl"], [0, 1, 2])
