"""Checked arrays of .npz and .pkl bodies.

The arrays of a body file, read once and without pickle, and checked to be an SMPL-X-layout body.

The legacy .pkl of SMPL-X: arrays, chumpy arrays and sparse matrices as plain data; nothing in it is run.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from closemesh.core.errors import ModelFileError
from closemesh.core.unpickling import ARRAY_GLOBALS, AllowedGlobals, RestrictedUnpickler

BodyArrays = dict[str, np.ndarray]

REQUIRED = ("v_template", "shapedirs", "J_regressor", "weights", "f")
# Other keys of SMPL-X files hold pickled objects, which are never touched.
OPTIONAL = (
    *("posedirs", "vt", "ft", "hands_meanl", "hands_meanr"),
    *("lmk_faces_idx", "lmk_bary_coords", "dynamic_lmk_faces_idx", "dynamic_lmk_bary_coords"),
    *("open_body_id", "open_coco23_regressor", "open_coco23_names", "open_vertex_ids", "open_vertex_ids_names"),
)
_NUM_JOINTS = 55
_SMPLX_VERTICES = 10475
_ADVICE = "give SMPLX_NEUTRAL.npz or another SMPL-X .npz"


def read_body_arrays(path: Path) -> BodyArrays:
    """The arrays that a body needs. Raises ModelFileError when the file is none, is damaged, or is another model."""
    if not zipfile.is_zipfile(path):
        raise ModelFileError(f"body model {path} is not an .npz file, or is cut short; {_ADVICE}")
    try:
        with np.load(path, allow_pickle=False) as file:
            data = {key: file[key] for key in (*REQUIRED, *OPTIONAL) if key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelFileError(f"body model {path} is damaged ({error}); get the file again") from error
    return checked_body(path, data)


def checked_body(path: Path, data: BodyArrays) -> BodyArrays:
    """The arrays as they are. Raises ModelFileError when they do not make up a body of the SMPL-X layout."""
    fault = _fault(data)
    if fault:
        raise ModelFileError(f"{path} is not an SMPL-X body: it {fault}; {_ADVICE}")
    return data


def _fault(data: BodyArrays) -> str | None:
    """What keeps these arrays from being an SMPL-X body, if anything does."""
    missing = [key for key in REQUIRED if key not in data]
    if missing:
        return f"has no {', '.join(missing)}"
    count, joints = len(data["v_template"]), data["weights"].shape[-1]
    if joints != _NUM_JOINTS:
        return f"has {joints} joints instead of {_NUM_JOINTS}"
    if "open_body_id" not in data and count != _SMPLX_VERTICES:
        return f"has {count} vertices instead of {_SMPLX_VERTICES}"
    fitting = (
        data["shapedirs"].shape[:2] == (count, 3)
        and data["shapedirs"].shape[2] >= 20
        and data["weights"].shape[0] == count
        and data["J_regressor"].shape == (_NUM_JOINTS, count)
        and int(data["f"].max()) < count
    )
    return None if fitting else "has arrays that do not fit one another"


_LARGEST = 100_000_000  # Numbers of a sparse matrix when it is filled up; a body's regressor has 0.6 million.


class _Kept:
    """Stands for an object of the pickle: its state is kept as data, its own code is never looked for."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _ChumpyArray(_Kept):
    """`chumpy.ch.Ch`, an array with derivatives; its state has the numbers under `x`."""

    def array(self) -> np.ndarray:
        return np.asarray(self.state["x"])


class _SparseMatrix(_Kept):
    """A compressed sparse matrix of scipy."""

    by_column = False

    def array(self) -> np.ndarray:
        """The matrix filled up. Raises ValueError where its numbers contradict each other."""
        state = self.state
        shape = tuple(int(n) for n in state["_shape" if "_shape" in state else "shape"])
        values, minor, starts = (np.asarray(state[name]) for name in ("data", "indices", "indptr"))
        major = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        rows, columns = (minor, major) if self.by_column else (major, minor)
        if len(shape) != 2 or not 0 < shape[0] * shape[1] <= _LARGEST or not len(values) == len(rows) == len(columns):
            raise ValueError("a sparse matrix of it is damaged")
        if len(values) and (min(rows.min(), columns.min()) < 0 or rows.max() >= shape[0] or columns.max() >= shape[1]):
            raise ValueError("a sparse matrix of it has entries outside")
        dense = np.zeros(shape)
        np.add.at(dense, (rows, columns), values)
        return dense


class _SparseColumns(_SparseMatrix):
    by_column = True


def _reconstruct(kind: Any, base: Any, state: Any) -> _Kept:
    """How Python 2 pickles begin an object: of the stand-ins alone."""
    if not (isinstance(kind, type) and issubclass(kind, _Kept)):
        raise ValueError("it asks for an object that is neither chumpy array nor sparse matrix")
    return kind()


_ALLOWED: AllowedGlobals = {
    **ARRAY_GLOBALS,
    ("copyreg", "_reconstructor"): _reconstruct,
    ("builtins", "object"): object,
    ("chumpy.ch", "Ch"): _ChumpyArray,
    **{(f"scipy.sparse.{module}", "csc_matrix"): _SparseColumns for module in ("csc", "_csc")},
    **{(f"scipy.sparse.{module}", "csr_matrix"): _SparseMatrix for module in ("csr", "_csr")},
}


def read_body_pkl(path: Path) -> BodyArrays:
    """The arrays that a body needs. Raises ModelFileError when the file is none, is damaged or asks for anything else.

    Tested on files of that layout only.
    """
    try:
        with path.open("rb") as file:
            told = RestrictedUnpickler(file, _ALLOWED).load()
        data = {key: _plain(told[key]) for key in (*REQUIRED, *OPTIONAL) if key in told}
    except Exception as error:  # A damaged pickle may raise anything.
        raise ModelFileError(
            f"body model {path} cannot be read ({error}); give the .npz of SMPL-X, which needs no pickle"
        ) from error
    return checked_body(path, data)


def _plain(value: Any) -> np.ndarray:
    array = value.array() if isinstance(value, _ChumpyArray | _SparseMatrix) else np.asarray(value)
    if array.dtype.hasobject:
        raise ValueError("where numbers should be it has objects")
    return array
