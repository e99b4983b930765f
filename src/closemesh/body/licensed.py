"""The licensed SMPL-X body; the only file that imports `smplx`, whose licence is non-commercial."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np

from closemesh.body.load import body_from_npz, build_body
from closemesh.body.model import BodyModel
from closemesh.errors import ModelFileError
from closemesh.weights.search import sha256_of


def load_licensed_body(path: Path) -> BodyModel:
    """A user's SMPL-X .npz, its tensors taken from `smplx` once and skinned by closemesh.

    Raises ModelFileError when the file is missing, no SMPL-X body, or `smplx` is not installed.
    """
    if not path.is_file():
        raise ModelFileError(f"body model {path} not found; give the path of SMPLX_NEUTRAL.npz")
    if path.suffix != ".npz":
        raise ModelFileError(f"body model {path} is not an .npz file; download the .npz version of SMPL-X")
    name = f"smplx/{path.stem}"
    checked = body_from_npz(path, name)
    with np.load(path, allow_pickle=False) as file:
        if "open_body_id" in file.files:  # Our own body given as a file: no licence and no package needed.
            return body_from_npz(path, f"closemesh_open/{path.stem.removeprefix('open_body_')}")
    try:
        import smplx
    except ImportError as error:
        raise ModelFileError("the licensed body needs the package smplx: pip install 'closemesh[smplx]'") from error
    with contextlib.redirect_stdout(io.StringIO()):  # smplx warns on the terminal about its own options.
        layer = smplx.SMPLX(str(path), use_pca=False, flat_hand_mean=True, ext="npz", num_betas=10)
    with np.load(path, allow_pickle=True) as file:
        data = {key: file[key] for key in file.files if file[key].dtype != object}
    data["shapedirs"] = np.concatenate([layer.shapedirs.numpy(), layer.expr_dirs.numpy()], axis=-1)
    body = build_body(data, name, sha256_of(path))
    assert body.faces.shape == checked.faces.shape
    return body
