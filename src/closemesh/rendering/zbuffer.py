"""Z-buffer on the CPU: triangles with vertex colors, 2x2 supersampled, and depth maps."""

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
EDGE = 1e-5  # Barycentric margin beyond the edges, so that rounding leaves no seam between two triangles.
_BAND = 32  # Rows of pixels that one thread draws at a time; their samples fit the cache.


def _compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Compile to machine code that runs without the GIL, cached on disk where a folder can be written."""
    options: dict[str, Any] = {"nogil": True, "fastmath": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # No writable folder: compile anew in every process.
        return njit(**options)(function)


@_compiled
def _draw_band(points, faces, colors, first_row, inverse_depth, samples):
    """Draw the part of all triangles in the sample rows from `first_row` on; colors are perspective-correct.

    points [N, 3] sample x, sample y and 1 / depth; colors [N, 3] in 0..255. The nearest surface is written to
    inverse_depth [rows, W] and samples [rows, W, 4] (RGB and coverage).
    """
    rows, width = inverse_depth.shape
    for f in range(faces.shape[0]):
        a, b, c = faces[f]
        ax, ay, az = points[a]
        bx, by, bz = points[b]
        cx, cy, cz = points[c]
        bottom = min(rows - 1, int(np.floor(max(ay, by, cy) - 0.5)) - first_row)
        top = max(0, int(np.ceil(min(ay, by, cy) - 0.5)) - first_row)
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if bottom < top or area >= 0 or min(az, bz, cz) <= 0:  # Outside, back-facing, or behind the camera.
            continue
        left = max(0, int(np.ceil(min(ax, bx, cx) - 0.5)))
        right = min(width - 1, int(np.floor(max(ax, bx, cx) - 0.5)))
        for row in range(top, bottom + 1):
            y = first_row + row + 0.5
            for column in range(left, right + 1):
                x = column + 0.5
                weight_b = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / area
                weight_c = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area
                weight_a = 1 - weight_b - weight_c
                if min(weight_a, weight_b, weight_c) < -EDGE:
                    continue
                z = weight_a * az + weight_b * bz + weight_c * cz
                if z > inverse_depth[row, column]:
                    inverse_depth[row, column] = z
                    for k in range(3):
                        mixed = (
                            weight_a * az * colors[a, k] + weight_b * bz * colors[b, k] + weight_c * cz * colors[c, k]
                        )
                        samples[row, column, k] = np.uint8(mixed / z + 0.5)
                    samples[row, column, 3] = 255


@_compiled
def _blend_band(samples, opacity, image):
    """Blend the mean of each pixel's samples [2 * rows, 2 * W, 4] over `image` [rows, W, 3] in place."""
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            red, green, blue, count = 0, 0, 0, 0
            for j in range(SAMPLES):
                for i in range(SAMPLES):
                    sample = samples[SAMPLES * y + j, SAMPLES * x + i]
                    red += sample[0]
                    green += sample[1]
                    blue += sample[2]
                    count += sample[3] != 0
            if count > 0:
                over = opacity / (SAMPLES * SAMPLES)
                under = 1 - over * count
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
    counterclockwise from outside; back faces are culled. opacity 0..1 blends the nearest surface with the image.
    """
    points = _to_samples(points_cam, focal, principal_point)
    faces, colors = faces.astype(np.int32, copy=False), colors.astype(np.float32, copy=False)
    result = image.copy()
    first, last, left, right = _extent(points, image.shape[0], image.shape[1])

    def draw(row: int) -> None:
        rows = SAMPLES * (min(row + _BAND, last) - row)
        inverse_depth = np.zeros((rows, SAMPLES * (right - left)), dtype=np.float32)
        samples = np.zeros((*inverse_depth.shape, 4), dtype=np.uint8)
        _draw_band(points, faces, colors, SAMPLES * row, inverse_depth, samples)
        _blend_band(samples, np.float32(opacity), result[row : row + rows // SAMPLES, left:right])

    points[:, 0] -= SAMPLES * left
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(draw, range(first, last, _BAND)))
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
    points = _to_samples(points_cam, focal, principal_point)
    points[:, :2] /= SAMPLES
    inverse_depth = np.zeros((size[1], size[0]), dtype=np.float32)
    unused = np.zeros((size[1], size[0], 4), dtype=np.uint8)
    _draw_band(points, faces.astype(np.int32, copy=False), np.zeros_like(points), 0, inverse_depth, unused)
    with np.errstate(divide="ignore"):
        return 1 / inverse_depth


def _to_samples(points_cam: Floats, focal: float, principal_point: tuple[float, float]) -> NDArray[np.float32]:
    """[N, 3] sample x, sample y and 1 / depth; 1 / depth is 0 nearer than NEAR or behind the camera."""
    visible = points_cam[:, 2] > NEAR
    depth = np.where(visible, points_cam[:, 2], 1.0)
    xy = SAMPLES * (points_cam[:, :2] * (focal / depth)[:, None] + np.asarray(principal_point))
    return np.column_stack([xy, visible / depth]).astype(np.float32)


def _extent(points: Floats, height: int, width: int) -> tuple[int, int, int, int]:
    """First and last row, first and last column (exclusive) of the pixels that the visible points may cover."""
    visible = points[points[:, 2] > 0]
    if len(visible) == 0:
        return 0, 0, 0, 0
    low = np.floor(visible[:, :2].min(0) / SAMPLES)
    high = np.ceil(visible[:, :2].max(0) / SAMPLES)
    (left, top), (right, bottom) = np.clip(low, 0, [width, height]), np.clip(high, 0, [width, height])
    return int(top), int(bottom), int(left), int(right)
