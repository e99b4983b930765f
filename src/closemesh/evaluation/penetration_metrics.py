"""How far two meshes stand in one another: the papers' A-PD, and exact depth and volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from closemesh.contact.box_tree import build_box_tree
from closemesh.contact.closest import closest_faces
from closemesh.contact.frames import within_box
from closemesh.contact.surface import Array
from closemesh.contact.winding import sort_into_columns, winding_numbers
from closemesh.evaluation.lattice import common_length, fill_diagonals, lattice_crossings
from closemesh.scene import Bools, Floats

_GRID = 32
_MARGIN = 1.2
_VOLUME_STEP = 0.003  # Metres between the lines along which the volume is measured exactly.


@dataclass(frozen=True)
class Inside:
    """Points of one body that lie inside another."""

    point: np.ndarray
    """[N] which."""
    nearest: np.ndarray
    """[N] the vertex of the other body that is the largest share of its closest surface point."""
    depth: Floats
    """[N] metres below the surface."""


def points_inside(points: Array, vertices: Array, faces: np.ndarray) -> Inside:
    """The points [N, 3] inside the closed mesh [V, 3], [F, 3], metres in one frame; exact.

    Inside is where the mesh winds around a point, as in `ClosedSurface`; only such points look for their closest face.
    """
    candidates = within_box(points, vertices, 0)
    tree = build_box_tree(vertices, faces)
    windings = winding_numbers(points[candidates], sort_into_columns(tree.corners))
    inside = candidates[windings > 0]
    row, weights = closest_faces(points[inside], tree.boxes, tree.starts, tree.corners, np.inf)
    closest = np.einsum("nk,nkd->nd", weights, tree.corners[row].reshape(-1, 3, 3))
    depth = np.linalg.norm(points[inside] - closest, axis=-1)
    return Inside(inside, faces[tree.order[row], weights.argmax(-1)], depth)


def a_pd(vertices_a: Array, vertices_b: Array, faces: np.ndarray) -> float:
    """Average penetration depth A-PD of two meshes in mm, as CloseInt and CloseApp compute it (SDF_ihmr).

    vertices [V, 3] metres, faces [F, 3]. Each person has a box, 1.2 times its largest side, with a field of 32^3
    points: the distance to the surface inside (an odd number of crossings towards (-1, -1, -1)), else 0. The vertices
    of either are looked up in the other's field; the mean over all of both is told, so most values are 0.

    Kept as it is in that code: the points of the field lie half a step beside where it is sampled, and a person's
    vertices are scaled by the person's own box, not by the one in which the field lives. The mean depends on where a
    body has its vertices: the papers' SMPL has 6,890, so compare only on one body model.
    """
    boxes = [_box(vertices) for vertices in (vertices_a, vertices_b)]
    fields = [_inside_field(v, faces, *box) for v, box in zip((vertices_a, vertices_b), boxes, strict=True)]
    depths = []
    for own, vertices in enumerate((vertices_a, vertices_b)):
        scale, other_centre = boxes[own][1], boxes[1 - own][0]
        position = ((vertices - other_centre) / scale + 1) * (_GRID - 1) / 2  # [V, 3]
        depths.append(scale * map_coordinates(fields[1 - own], position.T, order=1, mode="grid-constant"))
    return 1000 * float(np.concatenate(depths).mean())


def overlap_volume(vertices_a: Array, vertices_b: Array, faces: np.ndarray, step: float = _VOLUME_STEP) -> float:
    """Volume in cubic centimetres of what lies inside both closed meshes; vertices [V, 3] metres, faces [F, 3].

    Exact along lines that stand `step` metres apart. Inside is where the mesh winds around a point.
    """
    low = np.maximum(vertices_a.min(0), vertices_b.min(0))
    extent = np.minimum(vertices_a.max(0), vertices_b.max(0)) - low
    if (extent <= 0).any():
        return 0.0
    along = int(extent.argmax())  # Few lines, each long.
    axes = [(along + 1) % 3, (along + 2) % 3, along]
    num_u, num_v = (int(np.ceil(extent[axis] / step)) for axis in axes[:2])
    found = [_lines_through(v[:, axes], faces, low[axes], (num_u, num_v), step) for v in (vertices_a, vertices_b)]
    line, height, sign = (np.concatenate(column) for column in zip(*found, strict=True))
    of_a = np.arange(len(line)) < len(found[0][0])
    order = np.lexsort((height, line))
    return 1e6 * step * step * common_length(line[order], height[order], sign[order], of_a[order])


def _lines_through(
    points: Floats, faces: np.ndarray, low: Floats, count: tuple[int, int], step: float
) -> tuple[np.ndarray, Floats, np.ndarray]:
    """Crossings of lines in the middle of the cells of `step` from `low` on; points [V, 3] as (u, v, along)."""
    shifted = points - low
    shifted[:, :2] = shifted[:, :2] / step - 0.5
    return lattice_crossings(shifted[faces].reshape(-1, 9), *count)


def _box(vertices: Floats) -> tuple[Floats, float]:
    """Centre [3] and half the widened side of the box around vertices [V, 3]."""
    low, high = vertices.min(0), vertices.max(0)
    return (low + high) / 2, float(_MARGIN * 0.5 * (high - low).max())


def _inside_field(vertices: Floats, faces: np.ndarray, centre: Floats, scale: float) -> Floats:
    """[32, 32, 32] depth below the surface in units of `scale`, 0 outside."""
    # In steps of the field, whose point k stands at -1 + (k + 0.5) * 2 / 31 of the box.
    step = 2 / (_GRID - 1)
    in_steps = ((vertices - centre) / scale + 1) / step - 0.5
    inside = _odd_crossings(in_steps, faces)
    field = np.zeros(inside.shape)
    tree = build_box_tree(np.ascontiguousarray(in_steps), np.asarray(faces, np.int64))
    points = np.argwhere(inside).astype(np.float64)
    row, weights = closest_faces(points, tree.boxes, tree.starts, tree.corners, np.inf)
    closest = np.einsum("nk,nkd->nd", weights, tree.corners[row].reshape(-1, 3, 3))
    field[inside] = step * np.linalg.norm(points - closest, axis=-1)
    return field


def _odd_crossings(in_steps: Floats, faces: np.ndarray) -> Bools:
    x, y, z = in_steps.T
    sheared = np.stack([x - z + _GRID - 1, y - z + _GRID - 1, z], axis=-1)
    line, height, _ = lattice_crossings(sheared[faces].reshape(-1, 9), 2 * _GRID - 1, 2 * _GRID - 1)
    return fill_diagonals(line, height, _GRID)
