"""Checked arrays of body files in the SMPL-X layout: .npz without pickles, legacy .pkl as plain data."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from closemesh.core.arrays import read_npz
from closemesh.core.errors import ModelFileError
from closemesh.core.unpickling import SMPLX_GLOBALS, dense_array, load_pickle

BodyArrays = dict[str, np.ndarray]

REQUIRED = ("v_template", "shapedirs", "J_regressor", "weights", "f")
# Other keys of SMPL-X files hold pickled objects, which are never read.
OPTIONAL = (
    *("posedirs", "vt", "ft", "hands_meanl", "hands_meanr"),
    *("lmk_faces_idx", "lmk_bary_coords", "dynamic_lmk_faces_idx", "dynamic_lmk_bary_coords"),
    *("open_body_id", "open_coco23_regressor", "open_coco23_names", "open_vertex_ids", "open_vertex_ids_names"),
)
_NUM_JOINTS = 55
_SMPLX_VERTICES = 10475
_ADVICE = "give SMPLX_NEUTRAL.npz or another SMPL-X .npz"


def read_body_arrays(path: Path) -> BodyArrays:
    """The arrays of an .npz body, checked. Raises ModelFileError when it is damaged or not an SMPL-X body."""
    if not zipfile.is_zipfile(path):
        raise ModelFileError(f"body model {path} is not an .npz file, or is cut short; {_ADVICE}")
    data = read_npz(path, (), (*REQUIRED, *OPTIONAL), ModelFileError)  # `checked_body` names the missing ones.
    return checked_body(path, data)


def checked_body(path: Path, data: BodyArrays) -> BodyArrays:
    """`data` unchanged. Raises ModelFileError when it is not a body in the SMPL-X layout."""
    fault = _fault(data)
    if fault:
        raise ModelFileError(f"{path} is not an SMPL-X body: it {fault}; {_ADVICE}")
    return data


def _fault(data: BodyArrays) -> str | None:
    """Why the arrays are not an SMPL-X body; None when they are."""
    missing = [key for key in REQUIRED if key not in data]
    if missing:
        return f"has no {', '.join(missing)}"
    count, joints = len(data["v_template"]), data["weights"].shape[-1]
    if joints != _NUM_JOINTS:
        return f"has {joints} joints instead of {_NUM_JOINTS}"
    if "open_body_id" not in data and count != _SMPLX_VERTICES:
        return f"has {count} vertices instead of {_SMPLX_VERTICES}"
    consistent = (
        data["shapedirs"].shape[:2] == (count, 3)
        and data["shapedirs"].shape[2] >= 20
        and data["weights"].shape[0] == count
        and data["J_regressor"].shape == (_NUM_JOINTS, count)
        and int(data["f"].max()) < count
    )
    return None if consistent else "has arrays that do not fit one another"


def read_body_pkl(path: Path) -> BodyArrays:
    """The arrays of a legacy .pkl of SMPL-X, checked; tested on generated files of this layout only.

    Raises ModelFileError when the file is missing or damaged, holds other objects, or is not an SMPL-X body.
    """
    advice = "give the .npz of SMPL-X, which needs no pickle"
    content = load_pickle(path, SMPLX_GLOBALS, ModelFileError, advice)
    try:
        data = {key: dense_array(content[key]) for key in (*REQUIRED, *OPTIONAL) if key in content}
    except Exception as error:  # Stand-ins may carry any state.
        raise ModelFileError(f"body model {path} cannot be read ({error}); {advice}") from error
    return checked_body(path, data)
