"""Where the lines of a lattice cross a mesh: what volumes and grids of inside and outside are made from."""

from __future__ import annotations

# Compiled functions carry no hints: numba infers the types.
# pyright: reportMissingParameterType=false
import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def lattice_crossings(corners, num_u, num_v):
    """Every crossing of a mesh with the lines u = 0 .. num_u - 1, v = 0 .. num_v - 1 that run along w.

    corners [F, 9] are u, v, w of the three corners of each face, u and v in steps of the lattice, (u, v, w)
    right-handed. Gives the line u * num_v + v [N], w [N], and 1 where w leaves the mesh, -1 where it comes in [N]. A
    line through an edge of a closed mesh crosses one of its faces, not both.
    """
    line, height, sign = np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64)
    count = 0
    for face in range(len(corners)):  # Only counts: there is no room yet.
        count += _cross(corners, face, num_u, num_v, line, height, sign, 0)
    line, height, sign = np.empty(count, np.int64), np.empty(count), np.empty(count, np.int64)
    filled = 0
    for face in range(len(corners)):
        filled += _cross(corners, face, num_u, num_v, line, height, sign, filled)
    return line, height, sign


@njit(cache=True, nogil=True, error_model="numpy")
def _cross(corners, face, num_u, num_v, line, height, sign, start):
    """How many lines the face crosses; they are written from `start` on when there is room."""
    au, av, aw = corners[face, 0], corners[face, 1], corners[face, 2]
    bu, bv, bw = corners[face, 3], corners[face, 4], corners[face, 5]
    cu, cv, cw = corners[face, 6], corners[face, 7], corners[face, 8]
    first_u, last_u = max(0, int(np.ceil(min(au, bu, cu)))), min(num_u - 1, int(np.floor(max(au, bu, cu))))
    first_v, last_v = max(0, int(np.ceil(min(av, bv, cv)))), min(num_v - 1, int(np.floor(max(av, bv, cv))))
    count = 0
    for u in range(first_u, last_u + 1):
        for v in range(first_v, last_v + 1):
            # Twice the areas against each edge; a neighbour computes the very same number with the other sign.
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
    """Summed length along the lines that lies inside both of two meshes.

    Crossings [N] of both, sorted by line, then height; of_a [N] tells those of the first mesh.
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
    """Which points of a grid [size, size, size] have an odd number of crossings below them on the line (1, 1, 1).

    The lines are those of lattice_crossings for u = x - z + size - 1, v = y - z + size - 1, w = z in steps of the grid.
    """
    inside = np.zeros((size, size, size), dtype=np.bool_)
    for n in range(len(line)):
        du, dv = line[n] // (2 * size - 1) - (size - 1), line[n] % (2 * size - 1) - (size - 1)
        for z in range(max(0, int(np.ceil(height[n]))), size):
            x, y = z + du, z + dv
            if 0 <= x < size and 0 <= y < size:
                inside[x, y, z] = not inside[x, y, z]
    return inside
