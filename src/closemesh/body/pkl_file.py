"""The legacy .pkl of SMPL-X: arrays, chumpy arrays and sparse matrices as plain data; nothing in it is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from closemesh.body.npz_file import OPTIONAL, REQUIRED, BodyArrays, checked_body
from closemesh.errors import ModelFileError
from closemesh.pickles import PLAIN, Allowed, PlainUnpickler

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


_ALLOWED: Allowed = {
    **PLAIN,
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
            told = PlainUnpickler(file, _ALLOWED).load()
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
