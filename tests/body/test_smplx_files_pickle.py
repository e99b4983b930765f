"""The legacy pickle of SMPL-X: its arrays come through, whatever else it asks for is refused unrun."""

from __future__ import annotations

import os
import pickle
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from test_loading_smplx import stand_in

from closemesh.body.loading import load_body
from closemesh.body.smplx_files import read_body_pkl
from closemesh.core.errors import ModelFileError


class Malicious:
    """Runs a command when it is unpickled in the ordinary way."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


@pytest.fixture
def chumpy(monkeypatch: pytest.MonkeyPatch) -> Iterator[type]:
    """A class that pickles as chumpy's does, for as long as the test writes its file."""
    module = types.ModuleType("chumpy.ch")

    class Ch:
        def __init__(self, x: np.ndarray) -> None:
            self.x, self._dirty_vars, self._itr = x, set(), None

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    module.Ch = Ch  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)
    yield Ch


def tables() -> dict[str, np.ndarray]:
    """The plain arrays of a body file, without the pose correctives, which are large."""
    return {name: array for name, array in stand_in(20).items() if array.dtype != object and name != "posedirs"}


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_the_arrays_come_through(tmp_path: Path, chumpy: type, protocol: int) -> None:
    arrays = tables()
    data: dict[str, Any] = {
        **arrays,
        "J_regressor": (scipy.sparse.csc_matrix if protocol else scipy.sparse.csr_matrix)(arrays["J_regressor"]),
        "v_template": chumpy(arrays["v_template"]),
        "bs_type": "lrotmin",
    }
    (tmp_path / "SMPLX_NEUTRAL.pkl").write_bytes(pickle.dumps(data, protocol=protocol))
    read = read_body_pkl(tmp_path / "SMPLX_NEUTRAL.pkl")
    for name, array in read.items():
        np.testing.assert_array_equal(array, arrays[name])
    assert {"v_template", "J_regressor", "hands_meanl"} <= set(read)


def test_the_pickle_is_the_body_of_the_npz(tmp_path: Path) -> None:
    arrays = {**tables(), "posedirs": np.full((10475, 3, 486), 1e-3, np.float32)}
    np.savez(tmp_path / "SMPLX_NEUTRAL.npz", **arrays)  # type: ignore[arg-type]
    (tmp_path / "SMPLX_NEUTRAL.pkl").write_bytes(pickle.dumps(arrays))
    read, expected = load_body(tmp_path / "SMPLX_NEUTRAL.pkl"), load_body(tmp_path / "SMPLX_NEUTRAL.npz")
    assert read.name == expected.name == "smplx/SMPLX_NEUTRAL"
    for name in ("v_template", "shape_dirs", "expression_dirs", "pose_dirs", "joint_template", "skin_weights", "faces"):
        torch.testing.assert_close(getattr(read, name), getattr(expected, name))


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_pickle_is_one_line_and_not_run(tmp_path: Path, protocol: int) -> None:
    run, path = tmp_path / "run", tmp_path / "SMPLX_NEUTRAL.pkl"
    for data in (Malicious(run), {"v_template": Malicious(run)}):
        path.write_bytes(pickle.dumps(data, protocol=protocol))
        with pytest.raises(ModelFileError, match=r"SMPLX_NEUTRAL\.pkl.*system.*\.npz") as caught:
            load_body(path)
        assert "\n" not in str(caught.value)
    assert not run.exists()


@pytest.mark.parametrize(
    "asked",
    [
        b"ccopy_reg\n_reconstructor\n(c__builtin__\nobject\nc__builtin__\nobject\nNtR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cscipy.sparse._csc\ncsc_array\n(tR.",
        b"not a pickle",
        b"",
    ],
)
def test_anything_else_is_refused(tmp_path: Path, asked: bytes) -> None:
    (tmp_path / "a.pkl").write_bytes(asked)
    with pytest.raises(ModelFileError, match=r"a\.pkl cannot be read"):
        load_body(tmp_path / "a.pkl")


def test_a_sparse_matrix_that_points_outside_is_refused(tmp_path: Path) -> None:
    matrix = scipy.sparse.csc_matrix(np.eye(55))
    matrix.indices[3] = 10**9
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"J_regressor": matrix}))
    with pytest.raises(ModelFileError, match="entries outside"):
        load_body(tmp_path / "a.pkl")


def test_a_pickle_of_smpl_is_recognized_by_its_joints(tmp_path: Path) -> None:
    arrays = tables()
    arrays["weights"] = arrays["weights"][:, :24]
    (tmp_path / "SMPL_NEUTRAL.pkl").write_bytes(pickle.dumps(arrays))
    with pytest.raises(ModelFileError, match="24 joints instead of 55"):
        load_body(tmp_path / "SMPL_NEUTRAL.pkl")
