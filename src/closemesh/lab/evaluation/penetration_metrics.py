"""Penetration of two meshes: A-PD as the papers compute it, exact depths, and the volume of the intersection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.ndimage import map_coordinates

from closemesh.contact.aabb_tree import build_aabb_tree, closest_faces
from closemesh.contact.signed_distance import Array
from closemesh.contact.vertex_contacts import within_box
from closemesh.contact.winding_number import sort_into_columns, winding_numbers
from closemesh.core.arrays import Bools, Floats

# Compiled functions carry no hints: numba infers the types.
# pyright: reportMissingParameterType=false


@njit(cache=True, nogil=True, error_model="numpy")
def ray_grid_crossings(corners, num_u, num_v):
    """All N crossings of a mesh with the rays u = 0 .. num_u - 1, v = 0 .. num_v - 1 along w.

    corners [F, 9]: u, v, w of the three corners of each face, right-handed, u and v in steps of the grid. Returns the
    ray u * num_v + v [N], w [N], and the sign [N]: 1 where w leaves the mesh, -1 where it enters. A ray through an edge
    of a closed mesh crosses one of its two faces.
    """
    line, height, sign = np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64)
    count = 0
    for face in range(len(corners)):  # Only counts: the arrays are still empty.
        count += _cross(corners, face, num_u, num_v, line, height, sign, 0)
    line, height, sign = np.empty(count, np.int64), np.empty(count), np.empty(count, np.int64)
    filled = 0
    for face in range(len(corners)):
        filled += _cross(corners, face, num_u, num_v, line, height, sign, filled)
    return line, height, sign


@njit(cache=True, nogil=True, error_model="numpy")
def _cross(corners, face, num_u, num_v, line, height, sign, start):
    """The number of rays through the face; writes the crossings from `start` on where the arrays are long enough."""
    au, av, aw = corners[face, 0], corners[face, 1], corners[face, 2]
    bu, bv, bw = corners[face, 3], corners[face, 4], corners[face, 5]
    cu, cv, cw = corners[face, 6], corners[face, 7], corners[face, 8]
    first_u, last_u = max(0, int(np.ceil(min(au, bu, cu)))), min(num_u - 1, int(np.floor(max(au, bu, cu))))
    first_v, last_v = max(0, int(np.ceil(min(av, bv, cv)))), min(num_v - 1, int(np.floor(max(av, bv, cv))))
    count = 0
    for u in range(first_u, last_u + 1):
        for v in range(first_v, last_v + 1):
            # Twice the areas at each edge; the neighboring face computes exactly the same number with the other sign.
            ab = (au - u) * (bv - v) - (av - v) * (bu - u)
            bc = (bu - u) * (cv - v) - (bv - v) * (cu - u)
            ca = (cu - u) * (av - v) - (cv - v) * (au - u)
            leaves = ab > 0 and bc > 0 and ca > 0
            enters = ab <= 0 and bc <= 0 and ca <= 0
            area = ab + bc + ca
            if not (leaves or enters) or area == 0:
                continue
            if start + count < len(line):
                line[start + count] = u * num_v + v
                height[start + count] = (bc * aw + ca * bw + ab * cw) / area
                sign[start + count] = 1 if leaves else -1
            count += 1
    return count


@njit(cache=True, nogil=True)
def common_length(line, height, sign, of_a):
    """Total length of the rays inside both of two meshes.

    line, height, sign [N]: crossings of both, sorted by ray, then height; of_a [N]: True for those of the first mesh.
    """
    total, inside_a, inside_b = 0.0, 0, 0
    for n in range(len(line)):
        if n == 0 or line[n] != line[n - 1]:
            inside_a, inside_b = 0, 0
        elif inside_a > 0 and inside_b > 0:
            total += height[n] - height[n - 1]
        if of_a[n]:
            inside_a -= sign[n]
        else:
            inside_b -= sign[n]
    return total


@njit(cache=True, nogil=True)
def fill_diagonals(line, height, size):
    """Points of a grid [size, size, size] with an odd number of crossings below them on the ray (1, 1, 1).

    line, height [N]: of ray_grid_crossings for u = x - z + size - 1, v = y - z + size - 1, w = z in steps of the grid.
    """
    inside = np.zeros((size, size, size), dtype=np.bool_)
    for n in range(len(line)):
        du, dv = line[n] // (2 * size - 1) - (size - 1), line[n] % (2 * size - 1) - (size - 1)
        for z in range(max(0, int(np.ceil(height[n]))), size):
            x, y = z + du, z + dv
            if 0 <= x < size and 0 <= y < size:
                inside[x, y, z] = not inside[x, y, z]
    return inside


_GRID = 32
_MARGIN = 1.2
_VOLUME_STEP = 0.003  # Meters between the rays along which the volume is measured exactly.


@dataclass(frozen=True)
class Inside:
    """Points of one body inside another."""

    point: np.ndarray
    """[N] indices of the points."""
    nearest: np.ndarray
    """[N] vertex of the other body with the largest weight in the closest surface point."""
    depth: Floats
    """[N] meters below the surface."""


def points_inside(points: Array, vertices: Array, faces: np.ndarray) -> Inside:
    """The points [N, 3] inside the closed mesh of vertices [V, 3] and faces [F, 3], meters; exact.

    Inside is where the winding number is positive, as in WatertightMesh.
    """
    candidates = within_box(points, vertices, 0)
    tree = build_aabb_tree(vertices, faces)
    windings = winding_numbers(points[candidates], sort_into_columns(tree.corners))
    inside = candidates[windings > 0]
    row, weights = closest_faces(points[inside], tree.boxes, tree.starts, tree.corners, np.inf)
    closest = np.einsum("nk,nkd->nd", weights, tree.corners[row].reshape(-1, 3, 3))
    depth = np.linalg.norm(points[inside] - closest, axis=-1)
    return Inside(inside, faces[tree.order[row], weights.argmax(-1)], depth)


def a_pd(vertices_a: Array, vertices_b: Array, faces: np.ndarray) -> float:
    """Average penetration depth A-PD of two meshes, mm, as CloseInt and CloseApp compute it (SDF_ihmr).

    vertices_a, vertices_b [V, 3] meters, faces [F, 3]. Each person has a field of 32^3 points in a box with 1.2 times
    the largest side. It holds the distance to the surface inside (an odd number of crossings towards (-1, -1, -1)),
    else 0. The vertices of each person are looked up in the field of the other. The result is the mean over all
    vertices of both, so most values are 0.

    Two properties of that code are reproduced. The points of the field are half a step beside its samples. And a
    person's vertices are scaled by the person's own box, not by the box of the field. The mean depends on the
    vertices of the body model (the papers' SMPL has 6,890), so compare only on one body model.
    """
    boxes = [_box(vertices) for vertices in (vertices_a, vertices_b)]
    fields = [
        _inside_field(vertices, faces, center, scale)
        for vertices, (center, scale) in zip((vertices_a, vertices_b), boxes, strict=True)
    ]
    depths = []
    for own, vertices in enumerate((vertices_a, vertices_b)):
        scale, other_center = boxes[own][1], boxes[1 - own][0]
        position = ((vertices - other_center) / scale + 1) * (_GRID - 1) / 2  # [V, 3]
        depths.append(scale * map_coordinates(fields[1 - own], position.T, order=1, mode="grid-constant"))
    return 1000 * float(np.concatenate(depths).mean())


def overlap_volume(vertices_a: Array, vertices_b: Array, faces: np.ndarray, step: float = _VOLUME_STEP) -> float:
    """Volume inside both closed meshes, cubic centimeters; vertices_a, vertices_b [V, 3] meters, faces [F, 3].

    Exact along rays with a distance of `step` meters. Inside is where the winding number is positive.
    """
    low = np.maximum(vertices_a.min(0), vertices_b.min(0))
    extent = np.minimum(vertices_a.max(0), vertices_b.max(0)) - low
    if (extent <= 0).any():
        return 0.0
    along = int(extent.argmax())  # Few rays, each long.
    axes = [(along + 1) % 3, (along + 2) % 3, along]
    num_u, num_v = (int(np.ceil(extent[axis] / step)) for axis in axes[:2])
    crossings = [_crossings(v[:, axes], faces, low[axes], (num_u, num_v), step) for v in (vertices_a, vertices_b)]
    line, height, sign = (np.concatenate(column) for column in zip(*crossings, strict=True))
    of_a = np.arange(len(line)) < len(crossings[0][0])
    order = np.lexsort((height, line))
    return 1e6 * step * step * common_length(line[order], height[order], sign[order], of_a[order])


def _crossings(
    points: Floats, faces: np.ndarray, low: Floats, count: tuple[int, int], step: float
) -> tuple[np.ndarray, Floats, np.ndarray]:
    """Crossings with the rays in the middle of cells of size `step` from `low` on; points [V, 3] as (u, v, along)."""
    shifted = points - low
    shifted[:, :2] = shifted[:, :2] / step - 0.5
    return ray_grid_crossings(shifted[faces].reshape(-1, 9), *count)


def _box(vertices: Floats) -> tuple[Floats, float]:
    """Center [3] and half of the widened side of the box around vertices [V, 3]."""
    low, high = vertices.min(0), vertices.max(0)
    return (low + high) / 2, float(_MARGIN * 0.5 * (high - low).max())


def _inside_field(vertices: Floats, faces: np.ndarray, center: Floats, scale: float) -> Floats:
    """[32, 32, 32] depth below the surface in units of `scale`, 0 outside."""
    # In steps of the field, whose point k is at -1 + (k + 0.5) * 2 / 31 of the box.
    step = 2 / (_GRID - 1)
    in_steps = ((vertices - center) / scale + 1) / step - 0.5
    inside = _odd_crossings(in_steps, faces)
    field = np.zeros(inside.shape)
    tree = build_aabb_tree(np.ascontiguousarray(in_steps), np.asarray(faces, np.int64))
    points = np.argwhere(inside).astype(np.float64)
    row, weights = closest_faces(points, tree.boxes, tree.starts, tree.corners, np.inf)
    closest = np.einsum("nk,nkd->nd", weights, tree.corners[row].reshape(-1, 3, 3))
    field[inside] = step * np.linalg.norm(points - closest, axis=-1)
    return field


def _odd_crossings(in_steps: Floats, faces: np.ndarray) -> Bools:
    x, y, z = in_steps.T
    sheared = np.stack([x - z + _GRID - 1, y - z + _GRID - 1, z], axis=-1)
    line, height, _ = ray_grid_crossings(sheared[faces].reshape(-1, 9), 2 * _GRID - 1, 2 * _GRID - 1)
    return fill_diagonals(line, height, _GRID)
