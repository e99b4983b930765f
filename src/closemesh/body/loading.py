"""Bodies from files: the bundled body, or an SMPL-X file of the user.

The only file that imports `smplx`, whose license is non-commercial.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from closemesh.body.keypoints import named_vertex_keypoints, regressed_keypoints
from closemesh.body.landmarks import LandmarkBody, make_landmark_body, sole_vertices
from closemesh.body.model import BodyModel, uv_arrays
from closemesh.body.smplx_files import BodyArrays, read_body_arrays, read_body_pkl
from closemesh.core.arrays import read_unpickled_npz
from closemesh.core.errors import ModelFileError
from closemesh.core.files import sha256_of
from closemesh.core.foreign import foreign_file
from closemesh.weights.locate import find_model

_NUM_SHAPES = 10
_NUM_EXPRESSIONS = 10


def build_body(data: BodyArrays, name: str, sha256: str) -> BodyModel:
    """A BodyModel from the arrays of an SMPL-X-layout file."""
    directions = _float(data["shapedirs"])  # [V, 3, shapes + expressions]
    # Expressions begin at index 300 in files with 300 shapes and 100 expressions, at 10 in short files.
    first_expression = 300 if directions.shape[-1] >= 400 else _NUM_SHAPES
    shape_dirs = directions[..., :_NUM_SHAPES]
    expression_dirs = directions[..., first_expression : first_expression + _NUM_EXPRESSIONS]
    template, regressor = _float(data["v_template"]), _float(data["J_regressor"])
    pose_dirs = _pose_dirs(data.get("posedirs"))
    keypoints = regressed_keypoints(data) if "open_coco23_regressor" in data else named_vertex_keypoints(data)
    return BodyModel(
        name=name,
        sha256=sha256,
        v_template=template,
        shape_dirs=shape_dirs,
        expression_dirs=expression_dirs,
        pose_dirs=pose_dirs,
        joint_template=regressor @ template,
        joint_shape_dirs=torch.einsum("jv,vdk->jdk", regressor, torch.cat([shape_dirs, expression_dirs], -1)),
        skin_weights=_float(data["weights"]),
        faces=torch.as_tensor(data["f"].astype(np.int64)),
        hand_mean=torch.stack([_hand(data, "hands_meanl"), _hand(data, "hands_meanr")]),
        keypoint_joints=keypoints[0],
        keypoint_vertices=keypoints[1],
        keypoint_vertex_ids=keypoints[2],
        **uv_arrays(data),
    )


def _pose_dirs(pose_dirs: np.ndarray | None) -> Tensor | None:
    """[486, V * 3], or None when all are zero, as for the bundled body: skinning is then three times faster."""
    if pose_dirs is None or not np.any(pose_dirs):
        return None
    return _float(pose_dirs).flatten(0, 1).T.contiguous()


def _hand(data: BodyArrays, key: str) -> Tensor:
    return _float(data[key]).reshape(15, 3) if key in data else torch.zeros(15, 3)


def _float(array: np.ndarray) -> Tensor:
    return torch.as_tensor(np.asarray(array, dtype=np.float32))


def load_smplx_body(path: Path) -> BodyModel:
    """The body of an SMPL-X .npz, with the tensors of `smplx`, or of a legacy .pkl, without `smplx`.

    Files of the bundled body are accepted too. Raises ModelFileError when the file is missing, is not an SMPL-X body,
    or needs `smplx`, which is not installed.
    """
    if not path.is_file():
        raise ModelFileError(f"body model {path} not found; give the path of SMPLX_NEUTRAL.npz")
    with foreign_file(path, ModelFileError, "give SMPLX_NEUTRAL.npz or another SMPL-X .npz"):
        return _load_smplx_body(path)


def _load_smplx_body(path: Path) -> BodyModel:
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
    """The layer of the package, which handles the editions of the file. Raises ModelFileError."""
    try:
        import smplx
    except ImportError as error:
        raise ModelFileError("the licensed body needs the package smplx: pip install 'closemesh[smplx]'") from error
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):  # It prints warnings.
            plain = _without_pickles(path, Path(folder))
            return smplx.SMPLX(str(plain), use_pca=False, flat_hand_mean=True, ext="npz", num_betas=10)
    except ModelFileError:
        raise
    except Exception as error:  # The package does not check its file.
        raise ModelFileError(f"smplx cannot read {path} ({error}); give SMPLX_NEUTRAL.npz") from error


def _without_pickles(path: Path, folder: Path) -> Path:
    """A copy of the numeric arrays only: the package would unpickle the others, which can run any code.

    Raises ModelFileError when the file is damaged.
    """
    arrays = read_unpickled_npz(path, ModelFileError)
    for name in ("allow_pickle", "file"):  # Parameter names of savez.
        arrays.pop(name, None)
    np.savez(folder / path.name, **arrays)  # type: ignore[arg-type]
    return folder / path.name


BundledVariant = Literal["std", "mid", "light", "closed"]
"""std is the default; mid and light are coarser, with the same betas, for contact queries and inner loops."""


def load_body(path: str | Path | None = None, variant: BundledVariant = "std") -> BodyModel:
    """The body of `path`, else of $CLOSEMESH_BODY_MODEL, else the bundled body in this variant.

    Raises ModelFileError when the file is missing or is not a body in the SMPL-X layout.
    """
    chosen = path or os.environ.get("CLOSEMESH_BODY_MODEL")
    if chosen is None:
        return load_bundled_body(variant)
    return load_smplx_body(Path(chosen).expanduser())


def load_bundled_body(variant: BundledVariant = "std") -> BodyModel:
    """The bundled body. Raises ModelFileError when its file is missing or damaged."""
    path = find_model(f"open_body/open_body_{variant}.npz")
    return build_body(read_body_arrays(path), f"closemesh_open/{variant}", sha256_of(path))


def load_landmark_body(body: BodyModel) -> LandmarkBody:
    """Keypoints and soles of `body`, for inner loops."""
    return make_landmark_body(body, sole_vertices(body))
