"""The licensed SMPL-X body; the only file that imports `smplx`, whose licence is non-commercial."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from closemesh.body.build import build_body
from closemesh.body.model import BodyModel
from closemesh.body.npz_file import read_body_arrays
from closemesh.body.pkl_file import read_body_pkl
from closemesh.errors import ModelFileError
from closemesh.weights.search import sha256_of


def load_licensed_body(path: Path) -> BodyModel:
    """A user's SMPL-X .npz, its tensors taken from `smplx` once and skinned by closemesh.

    A .pkl, as SMPL-X was distributed at first, is read without `smplx`, and nothing that it may say is run. A file of
    the open body is taken for what it is, without `smplx`, too. Raises ModelFileError when the file is missing, no
    SMPL-X body, or `smplx` is not installed.
    """
    if not path.is_file():
        raise ModelFileError(f"body model {path} not found; give the path of SMPLX_NEUTRAL.npz")
    if path.suffix.lower() == ".pkl":
        return build_body(read_body_pkl(path), f"smplx/{path.stem}", sha256_of(path))
    if path.suffix != ".npz":
        raise ModelFileError(f"body model {path} is not an .npz file; download the .npz version of SMPL-X")
    data = read_body_arrays(path)
    if "open_body_id" in data:
        return build_body(data, f"closemesh_open/{path.stem.removeprefix('open_body_')}", sha256_of(path))
    layer = _smplx_layer(path)
    data["shapedirs"] = np.concatenate([layer.shapedirs.numpy(), layer.expr_dirs.numpy()], axis=-1)
    return build_body(data, f"smplx/{path.stem}", sha256_of(path))


def _smplx_layer(path: Path) -> Any:
    """The layer of the package, which knows where each edition of the file keeps its expressions."""
    try:
        import smplx
    except ImportError as error:
        raise ModelFileError("the licensed body needs the package smplx: pip install 'closemesh[smplx]'") from error
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):  # It prints warnings.
            plain = _without_pickles(path, Path(folder))
            return smplx.SMPLX(str(plain), use_pca=False, flat_hand_mean=True, ext="npz", num_betas=10)
    except (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, ValueError) as error:
        raise ModelFileError(f"smplx cannot read {path} ({error}); give SMPLX_NEUTRAL.npz") from error


def _without_pickles(path: Path, folder: Path) -> Path:
    """A copy of the arrays of numbers alone: the package would unpickle the rest, and a pickle may run anything."""
    arrays: dict[str, Any] = {}
    with np.load(path, allow_pickle=False) as file:
        for name in set(file.files) - {"allow_pickle", "file"}:  # Names that savez keeps for itself.
            with contextlib.suppress(ValueError):  # An array of objects.
                arrays[name] = file[name]
    np.savez(folder / path.name, **arrays)
    return folder / path.name
