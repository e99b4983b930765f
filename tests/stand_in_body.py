"""Bodies of other proportions and another shape space in the place of the SMPL-X one; none of its content."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from closemesh.weights.locate import find_model

Arrays = dict[str, np.ndarray]
SMPLX_VERTICES = 10475


def write_bundled_stand_in(path: Path) -> Path:
    """The light open mesh on a longer-legged, slimmer body: the same faces and layout, other joints and betas."""
    np.savez(path, **_other_proportions(_bundled("light")))  # type: ignore[arg-type]
    return path


def write_smplx_stand_in(path: Path) -> Path:
    """The same of the full open mesh with as many vertices as SMPL-X has, so that it is read as SMPL-X."""
    arrays = {name: array for name, array in _bundled("std").items() if not name.startswith("open_")}
    np.savez(path, **_with_more_vertices(_other_proportions(arrays), SMPLX_VERTICES))  # type: ignore[arg-type]
    return path


def _bundled(variant: str) -> Arrays:
    with np.load(find_model(f"open_body/open_body_{variant}.npz")) as file:
        return {name: file[name] for name in file.files}


def _other_proportions(arrays: Arrays) -> Arrays:
    template = arrays["v_template"].astype(np.float64)
    hips = float((arrays["J_regressor"] @ template)[1, 1])
    template *= [1.03, 1.0, 0.95]
    below = template[:, 1] < hips
    template[below, 1] = hips + 1.05 * (template[below, 1] - hips)
    # Other axes of shape in another order: betas of one body mean nothing to the other.
    directions = arrays["shapedirs"].copy()
    directions[..., :10] = -1.1 * directions[..., 9::-1]
    return {**arrays, "v_template": template.astype(np.float32), "shapedirs": directions}


def _with_more_vertices(arrays: Arrays, count: int) -> Arrays:
    """Some faces split in three at their centers until there are `count` vertices; the surface stays as it is."""
    faces = arrays["f"].astype(np.int64)
    before = len(arrays["v_template"])
    chosen = np.linspace(0, len(faces) - 1, count - before).astype(int)
    corners, added = faces[chosen], np.arange(before, count)
    fans = [np.stack([corners[:, k], corners[:, (k + 1) % 3], added], axis=1) for k in range(3)]
    per_vertex = ("v_template", "shapedirs", "posedirs", "weights")
    grown = {name: np.concatenate([arrays[name], arrays[name][corners].mean(1)]) for name in per_vertex}
    regressor = np.concatenate([arrays["J_regressor"], np.zeros((55, count - before), np.float32)], axis=1)
    faces = np.concatenate([np.delete(faces, chosen, axis=0), *fans])
    unchanged = {name: array for name, array in arrays.items() if name not in ("vt", "ft")}
    return {**unchanged, **grown, "J_regressor": regressor, "f": faces.astype(np.uint32)}
