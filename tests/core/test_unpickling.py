"""Pickles: arrays and plain containers come through, anything else is refused unrun."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from closemesh.core.errors import InputError
from closemesh.core.unpickling import (
    SMPLX_GLOBALS,
    dense_array,
    expect_numbers,
    load_joblib,
    load_pickle,
    load_pickled_npy,
    load_torch,
)


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


ARRAYS = {
    "floats": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "other axes": np.arange(24.0).reshape(2, 3, 4).transpose(1, 2, 0),
    "every second": np.arange(10)[::2],
    "half": np.ones(3, np.float16),
    "long": np.ones(3, np.longdouble),
    "big endian": np.arange(3, dtype=">i4"),
    "booleans": np.array([[True, False]]),
    "text": np.array(["дует", "b"]),
    "bytes": np.array([b"abc", b""]),
    "single": np.array(2.5),
    "empty": np.zeros((0, 3)),
    "complex": np.array([1j]),
    "objects": np.array([[np.zeros(2), None], ["a", {"b": [np.ones(1)]}]], dtype=object),
    "fortran objects": np.asfortranarray(np.array([[1, "a"], [None, 2.5]], dtype=object)),
    "no objects": np.zeros(0, object),
}
SCALARS = [np.float32(0.5), np.int64(3), np.bool_(True), np.str_("a"), np.str_(""), np.bytes_(b"x"), np.complex64(1j)]


def assert_equal_arrays(read: np.ndarray, array: np.ndarray) -> None:
    assert type(read) is np.ndarray and read.dtype == array.dtype and read.flags.writeable
    assert (read.flags.f_contiguous or array.dtype == object) >= array.flags.f_contiguous
    for one, other in zip(read.flat, array.flat, strict=True):
        np.testing.assert_equal(one, other)
    assert read.shape == array.shape


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_every_kind_of_array_comes_through(tmp_path: Path, protocol: int) -> None:
    shared = np.arange(3)
    plain = [None, 2**70, -1, 1e300, 0.0, "a\nb\\", "\ud800", b"\xff", {1, "a"}, (), ((1,),)]
    data = {"arrays": ARRAYS, "scalars": SCALARS, "shared": [shared] * 1000, np.int64(7): plain, (1, "a"): 0.0}
    for door, name in ((load_pickle, "a.pkl"), (load_joblib, "b.pkl")):
        (tmp_path / name).write_bytes(pickle.dumps(data, protocol=protocol))
        read = door(tmp_path / name)
        for title, array in ARRAYS.items():
            assert_equal_arrays(read["arrays"][title], array)
        assert read["scalars"] == SCALARS and [type(one) for one in read["scalars"]] == [type(one) for one in SCALARS]
        assert read[7] == plain and read[1, "a"] == 0.0
        assert all(one is read["shared"][0] for one in read["shared"])


def test_arrays_of_python_2_are_read(tmp_path: Path) -> None:
    """As numpy wrote them under Python 2: bytes are text."""
    (tmp_path / "old.pkl").write_bytes(
        b"(dp0\nS'a'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\ntp4\nS'b'\np5\ntp6\nRp7\n"
        b"(I1\n(I2\ntp8\ncnumpy\ndtype\np9\n(S'f8'\np10\nI0\nI1\ntp11\nRp12\n(I3\nS'<'\np13\nNNNI-1\nI-1\nI0\ntp14\nb"
        b"I00\nS'\\x00\\x00\\x00\\x00\\x00\\x00\\xf0?\\x00\\x00\\x00\\x00\\x00\\x00\\x00@'\np15\ntp16\nbs"
        b"S'n'\np17\nL5L\nsS'o'\nccollections\nOrderedDict\n((lp18\n(lp19\nS'k'\naI1\naatRs."
    )
    read = load_pickle(tmp_path / "old.pkl")
    assert read["a"].tolist() == [1.0, 2.0] and read["n"] == 5 and read["o"] == OrderedDict(k=1)


def test_values_of_other_types_are_no_numbers() -> None:
    for value in (None, "x", [[1], [1, 2]], {"a": 1}, [10**400], np.array([None]), ["x" * 10**6] + [""] * 10**6):
        with pytest.raises(InputError, match=r"a\.pkl: poses"):
            expect_numbers(Path("a.pkl"), "poses", value, ("T",))


@pytest.mark.parametrize(
    "change",
    [
        {"indptr": np.array([0, 2**40, 3])},
        {"indptr": np.array([0, 5, 3])},
        {"indptr": np.array([0.0, 1.0, 3.0])},
        {"indices": np.array([0, 1, 9])},
        {"indices": np.array([0, 1, -1])},
        {"indices": np.array([0, 1])},
        {"data": "text"},
        {"data": np.array(["a", "b", "c"])},
        {"data": np.array([np.nan, 1, 2])},
        {"_shape": (10**6, 10**6)},
        {"_shape": (2,)},
        {"_shape": None},
    ],
)
def test_a_damaged_sparse_matrix_is_a_value_error(tmp_path: Path, change: dict[str, object]) -> None:
    state = {"data": np.ones(3), "indices": np.array([0, 1, 2]), "indptr": np.array([0, 2, 3]), "_shape": (2, 3)}
    for given, is_right in ((state, True), ({**state, **change}, False)):
        whole = pickle.dumps(given, protocol=2)[2:-1]
        (tmp_path / "a.pkl").write_bytes(b"cscipy.sparse._csr\ncsr_matrix\n)\x81" + whole + b"b.")
        matrix = load_pickle(tmp_path / "a.pkl", SMPLX_GLOBALS)
        if is_right:
            assert dense_array(matrix).tolist() == [[1, 1, 0], [0, 0, 1]]
        else:
            with pytest.raises(ValueError):
                dense_array(matrix)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"text"])
def test_an_npy_file_without_an_object(tmp_path: Path, content: bytes) -> None:
    np.save(tmp_path / "a.npy", np.zeros(1))
    if content:
        (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npy cannot be read"):
        load_pickled_npy(tmp_path / "a.npy")


def test_folders_and_devices_are_no_files(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/zero")):
        for door in (load_pickle, load_joblib, load_pickled_npy, load_torch):
            with pytest.raises(InputError, match="it is no regular file"):
                door(path)
