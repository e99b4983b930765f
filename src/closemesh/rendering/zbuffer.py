"""Z-buffer on the CPU: triangles with vertex colors, 2x2 supersampled, and depth maps.

Corners are rounded to 1/256 of a sample, so coverage is decided exactly, in integers: a sample on the common edge of
two triangles belongs to one of them, and to none where it is on a right or lower edge of the mesh.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from closemesh.core.arrays import Floats

SAMPLES = 2  # Along each axis of a pixel.
NEAR = 0.05  # Meters; a triangle with a corner nearer than this is not drawn.
_UNIT = 256  # Steps of a sample's width.
_FAR_OUT = 2**21  # Samples; corners farther out are moved there, so that products of coordinates fit 64 bits.
_BAND = 32  # Rows of pixels that one thread draws at a time; their samples fit the cache.


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile to machine code that runs without the GIL, cached on disk where a folder can be written."""
    options: dict[str, Any] = {"nogil": True, "fastmath": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # No writable folder: compile anew in every process.
        return njit(**options)(function)


@compiled
def _sort_into_bands(corners, inverse_depths, faces, band_rows, height, width):
    """Front faces [N] by band of `band_rows` rows of samples, and where each band starts in them [bands + 1]."""
    bands = (height + band_rows - 1) // band_rows
    starts = np.zeros(bands + 1, np.int64)
    low, high = np.zeros(len(faces), np.int32), np.full(len(faces), -1, np.int32)
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        if min(inverse_depths[a], inverse_depths[b], inverse_depths[c]) <= 0:  # Behind the camera.
            continue
        ax, ay, bx, by, cx, cy = (
            corners[a, 0],
            corners[a, 1],
            corners[b, 0],
            corners[b, 1],
            corners[c, 0],
            corners[c, 1],
        )
        if (bx - ax) * (cy - ay) - (by - ay) * (cx - ax) >= 0:  # Back face.
            continue
        top = max(0, (min(ay, by, cy) + _UNIT // 2 - 1) // _UNIT)
        bottom = min(height - 1, (max(ay, by, cy) - _UNIT // 2) // _UNIT)
        if bottom < top or max(ax, bx, cx) < 0 or min(ax, bx, cx) >= width * _UNIT:
            continue
        low[f], high[f] = top // band_rows, bottom // band_rows
        for band in range(low[f], high[f] + 1):
            starts[band + 1] += 1
    starts = np.cumsum(starts)
    filled = starts[:-1].copy()
    order = np.empty(starts[-1], np.int32)
    for f in range(len(faces)):
        for band in range(low[f], high[f] + 1):
            order[filled[band]] = f
            filled[band] += 1
    return order, starts


@compiled
def _is_first(corners, inverse_depths, colors, faces, f, other):
    """Whether face `f` is drawn before another at the same depth: a rule that no order of the faces changes."""
    for k in range(3):
        of_f = colors[faces[f, 0], k] + colors[faces[f, 1], k] + colors[faces[f, 2], k]
        of_other = colors[faces[other, 0], k] + colors[faces[other, 1], k] + colors[faces[other, 2], k]
        if of_f != of_other:
            return of_f > of_other
    return False


@compiled
def _draw_band(corners, inverse_depths, colors, faces, order, first_row, nearest, face_at):
    """Draw the faces `order` into the sample rows from `first_row` on.

    The largest 1 / depth is written to nearest [rows, W], the face that has it to face_at [rows, W].
    """
    rows, width = nearest.shape
    for n in range(len(order)):
        f = order[n]
        a, b, c = faces[f, 0], faces[f, 2], faces[f, 1]  # Clockwise on the screen, where y is down.
        ax, ay, bx, by, cx, cy = (
            corners[a, 0],
            corners[a, 1],
            corners[b, 0],
            corners[b, 1],
            corners[c, 0],
            corners[c, 1],
        )
        top = max(0, (min(ay, by, cy) + _UNIT // 2 - 1) // _UNIT - first_row)
        bottom = min(rows - 1, (max(ay, by, cy) - _UNIT // 2) // _UNIT - first_row)
        left = max(0, (min(ax, bx, cx) + _UNIT // 2 - 1) // _UNIT)
        right = min(width - 1, (max(ax, bx, cx) - _UNIT // 2) // _UNIT)
        x, y = left * _UNIT + _UNIT // 2, (first_row + top) * _UNIT + _UNIT // 2
        # Twice the areas opposite of each corner; an edge that is neither left nor top excludes its points.
        area_a = (cx - bx) * (y - by) - (cy - by) * (x - bx)
        area_b = (ax - cx) * (y - cy) - (ay - cy) * (x - cx)
        area_c = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
        area = area_a + area_b + area_c
        depth_a, depth_b, depth_c = inverse_depths[a] / area, inverse_depths[b] / area, inverse_depths[c] / area
        in_a = area_a - (0 if cy < by or (cy == by and cx > bx) else 1)
        in_b = area_b - (0 if ay < cy or (ay == cy and ax > cx) else 1)
        in_c = area_c - (0 if by < ay or (by == ay and bx > ax) else 1)
        z = area_a * depth_a + area_b * depth_b + area_c * depth_c
        step_z_x = _UNIT * ((by - cy) * depth_a + (cy - ay) * depth_b + (ay - by) * depth_c)
        step_z_y = _UNIT * ((cx - bx) * depth_a + (ax - cx) * depth_b + (bx - ax) * depth_c)
        for row in range(top, bottom + 1):
            in_row_a, in_row_b, in_row_c, z_row = in_a, in_b, in_c, z
            for column in range(left, right + 1):
                if (in_row_a | in_row_b | in_row_c) >= 0:
                    value = np.float32(z_row)
                    before = nearest[row, column]
                    if value > before or (
                        value == before
                        and before > 0
                        and _is_first(corners, inverse_depths, colors, faces, f, face_at[row, column])
                    ):
                        nearest[row, column] = value
                        face_at[row, column] = f
                in_row_a += _UNIT * (by - cy)
                in_row_b += _UNIT * (cy - ay)
                in_row_c += _UNIT * (ay - by)
                z_row += step_z_x
            in_a += _UNIT * (cx - bx)
            in_b += _UNIT * (ax - cx)
            in_c += _UNIT * (bx - ax)
            z += step_z_y


@compiled
def _blend_band(corners, inverse_depths, colors, faces, first_row, nearest, face_at, opacity, image):
    """Blend the faces seen by the samples of each pixel over `image` [rows, W, 3] in place.

    Each face is shaded once in a pixel, perspective-correctly, in the middle of those of its samples that see it.
    """
    rows, width = image.shape[:2]
    over = opacity / (SAMPLES * SAMPLES)
    for y in range(rows):
        for x in range(width):
            red, green, blue, total = 0.0, 0.0, 0.0, 0
            for first in range(SAMPLES * SAMPLES):
                j, i = SAMPLES * y + first // SAMPLES, SAMPLES * x + first % SAMPLES
                if nearest[j, i] <= 0:
                    continue
                f = face_at[j, i]
                count, sum_x, sum_y, is_new = 0, 0, 0, True
                for k in range(SAMPLES * SAMPLES):
                    row, column = SAMPLES * y + k // SAMPLES, SAMPLES * x + k % SAMPLES
                    if nearest[row, column] > 0 and face_at[row, column] == f:
                        is_new = is_new and k >= first
                        count, sum_x, sum_y = count + 1, sum_x + column, sum_y + row
                if not is_new:
                    continue
                a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
                px = (sum_x / count + 0.5) * _UNIT - corners[a, 0]
                py = ((sum_y / count + first_row) + 0.5) * _UNIT - corners[a, 1]
                bx, by = np.float64(corners[b, 0] - corners[a, 0]), np.float64(corners[b, 1] - corners[a, 1])
                cx, cy = np.float64(corners[c, 0] - corners[a, 0]), np.float64(corners[c, 1] - corners[a, 1])
                area = bx * cy - by * cx
                weight_b = (px * cy - py * cx) / area * inverse_depths[b]
                weight_c = (bx * py - by * px) / area * inverse_depths[c]
                weight_a = (1 - (px * cy - py * cx) / area - (bx * py - by * px) / area) * inverse_depths[a]
                scale = count / (weight_a + weight_b + weight_c)
                red += scale * (weight_a * colors[a, 0] + weight_b * colors[b, 0] + weight_c * colors[c, 0])
                green += scale * (weight_a * colors[a, 1] + weight_b * colors[b, 1] + weight_c * colors[c, 1])
                blue += scale * (weight_a * colors[a, 2] + weight_b * colors[b, 2] + weight_c * colors[c, 2])
                total += count
            if total > 0:
                under = 1 - over * total
                image[y, x, 0] = np.uint8(over * red + under * image[y, x, 0] + 0.5)
                image[y, x, 1] = np.uint8(over * green + under * image[y, x, 1] + 0.5)
                image[y, x, 2] = np.uint8(over * blue + under * image[y, x, 2] + 0.5)


def render_mesh(
    image: NDArray[np.uint8],  # [H, W, 3]
    points_cam: Floats,  # [N, 3]
    faces: NDArray[np.integer],  # [F, 3]
    colors: Floats,  # [N, 3]
    focal: float,
    principal_point: tuple[float, float],
    opacity: float = 1.0,
) -> NDArray[np.uint8]:
    """A copy [H, W, 3] of `image` with a triangle mesh over it.

    points_cam in meters (OpenCV axes), focal and principal_point in pixels, colors 0..255 after shading. Faces are
    counterclockwise from outside; back faces are culled. opacity 0..1 blends the nearest surface with the image. The
    order of the faces does not change the image.
    """
    result = image.copy()
    corners, inverse_depths = _to_samples(points_cam, focal, principal_point, SAMPLES)
    first, last, left, right = _extent(corners, inverse_depths, image.shape[0], image.shape[1])
    if first >= last or left >= right:
        return result
    corners -= np.array([left, first]) * (SAMPLES * _UNIT)
    width, rows = SAMPLES * (right - left), SAMPLES * (last - first)
    faces, colors = faces.astype(np.int32, copy=False), np.ascontiguousarray(colors, dtype=np.float32)
    order, starts = _sort_into_bands(corners, inverse_depths, faces, SAMPLES * _BAND, rows, width)

    def draw(band: int) -> None:
        row = SAMPLES * _BAND * band
        nearest = np.zeros((min(SAMPLES * _BAND, rows - row), width), dtype=np.float32)
        face_at = np.empty(nearest.shape, dtype=np.int32)
        part = order[starts[band] : starts[band + 1]]
        _draw_band(corners, inverse_depths, colors, faces, part, row, nearest, face_at)
        lines = slice(first + row // SAMPLES, first + (row + len(nearest)) // SAMPLES)
        over = result[lines, left:right]
        _blend_band(corners, inverse_depths, colors, faces, row, nearest, face_at, opacity, over)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(draw, np.flatnonzero(np.diff(starts)).tolist()))
    return result


def render_depth(
    points_cam: Floats,  # [N, 3]
    faces: NDArray[np.integer],  # [F, 3]
    focal: float,
    principal_point: tuple[float, float],
    size: tuple[int, int],
) -> Floats:
    """Depth in meters [H, W] of the nearest surface at the center of each pixel; infinity where there is none.

    size: width and height in pixels; other arguments as in `render_mesh`.
    """
    width, height = size
    corners, inverse_depths = _to_samples(points_cam, focal, principal_point, 1)
    faces = faces.astype(np.int32, copy=False)
    order, _ = _sort_into_bands(corners, inverse_depths, faces, height, height, width)
    nearest, face_at = np.zeros((height, width), np.float32), np.empty((height, width), np.int32)
    no_colors = np.zeros((len(corners), 3), np.float32)
    _draw_band(corners, inverse_depths, no_colors, faces, order, 0, nearest, face_at)
    with np.errstate(divide="ignore"):
        return 1 / nearest


def _to_samples(
    points_cam: Floats, focal: float, principal_point: tuple[float, float], samples: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Corners [N, 2] in units of 1/256 sample and 1 / depth [N], which is 0 nearer than NEAR or behind the camera."""
    visible = points_cam[:, 2] > NEAR
    depth = np.where(visible, points_cam[:, 2], 1.0).astype(np.float64)
    xy = points_cam[:, :2] * (focal / depth)[:, None] + np.asarray(principal_point)
    corners = np.rint((samples * _UNIT) * xy).clip(-_FAR_OUT * _UNIT, _FAR_OUT * _UNIT).astype(np.int64)
    return corners, visible / depth


def _extent(corners: NDArray[np.int64], inverse_depths: Floats, height: int, width: int) -> tuple[int, int, int, int]:
    """First and last row, first and last column (exclusive) of the pixels that the visible points may cover."""
    visible = corners[inverse_depths > 0]
    if len(visible) == 0:
        return 0, 0, 0, 0
    low, high = visible.min(0) // (SAMPLES * _UNIT), -(-visible.max(0) // (SAMPLES * _UNIT))
    (left, top), (right, bottom) = np.clip(low, 0, [width, height]), np.clip(high, 0, [width, height])
    return int(top), int(bottom), int(left), int(right)
