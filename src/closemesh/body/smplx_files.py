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
_SHAPES: dict[str, tuple[int | str, ...]] = {
    **{"v_template": ("V", 3), "shapedirs": ("V", 3, "S"), "J_regressor": (_NUM_JOINTS, "V"), "f": ("F", 3)},
    **{"weights": ("V", _NUM_JOINTS), "posedirs": ("V", 3, 9 * (_NUM_JOINTS - 1))},
    **{"lmk_faces_idx": (51,), "lmk_bary_coords": (51, 3)},
    **{"dynamic_lmk_faces_idx": ("D", 17), "dynamic_lmk_bary_coords": ("D", 17, 3)},
    **{"open_coco23_regressor": (23, "V"), "open_vertex_ids": ("N",)},
}
"""A letter is the same length in all arrays; `vt` and `ft` of other shapes are not used."""
_INDICES = {"f": "V", "lmk_faces_idx": "F", "dynamic_lmk_faces_idx": "F", "open_vertex_ids": "V"}
_TOGETHER = (
    ("lmk_faces_idx", "lmk_bary_coords", "dynamic_lmk_faces_idx", "dynamic_lmk_bary_coords"),
    ("open_coco23_regressor", "open_coco23_names", "open_vertex_ids", "open_vertex_ids_names"),
)
_TEXTS = ("open_body_id", "open_coco23_names", "open_vertex_ids_names")
_LARGEST = 1e6  # Meters, weights and indices of plausible bodies.
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
    fault = _no_numbers(data)
    if fault:
        return fault
    count, joints = len(data["v_template"]), data["weights"].shape[-1]
    if joints != _NUM_JOINTS:
        return f"has {joints} joints instead of {_NUM_JOINTS}"
    if "open_body_id" not in data and count != _SMPLX_VERTICES:
        return f"has {count} vertices instead of {_SMPLX_VERTICES}"
    partly = next((group for group in _TOGETHER if 0 < sum(key in data for key in group) < len(group)), None)
    if partly:
        return f"has no {', '.join(key for key in partly if key not in data)}"
    return None if _consistent(data) else "has arrays that do not fit one another"


def _no_numbers(data: BodyArrays) -> str | None:
    """Which array does not hold finite numbers, of at least one axis and entry; None when all do."""
    for key, array in data.items():
        if not isinstance(array, np.ndarray):
            return f"has {key}, which is no array"
        if key in _TEXTS:
            continue
        if array.dtype.kind not in "fiub" or not (np.abs(array) <= _LARGEST).all():
            return f"has {key} with values that are no finite or plausible numbers"
        if key in _SHAPES and (not array.ndim or not array.size):
            return f"has an empty {key}"
    return None


def _consistent(data: BodyArrays) -> bool:
    """Whether the arrays have the shapes of _SHAPES, and indices point into them."""
    lengths: dict[str, int] = {}
    for key, shape in _SHAPES.items():
        if key in data:
            have = data[key].shape
            if len(have) != len(shape) or any(
                (lengths.setdefault(want, length) if isinstance(want, str) else want) != length
                for want, length in zip(shape, have, strict=True)
            ):
                return False
    within = all(
        data[key].dtype.kind in "iu" and data[key].min() >= 0 and data[key].max() < lengths[axis]
        for key, axis in _INDICES.items()
        if key in data
    )
    hands = all(data[key].size == 45 for key in ("hands_meanl", "hands_meanr") if key in data)
    return within and hands and lengths["S"] >= 20


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
