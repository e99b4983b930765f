"""Pinhole camera: projection, default focal length, rotation of a viewing ray."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from closemesh.core.arrays import Bools, Floats

MIN_DEPTH = 0.05  # Meters; smaller depths, also negative ones, count as this.
_USUAL_FOCAL = 0.74  # Of the diagonal.


def project(points_cam: Tensor, focal: float | Tensor, principal_point: tuple[float, float] | Tensor) -> Tensor:
    """Pixels [..., 2] of points_cam [..., 3] in meters, camera frame; focal and principal_point [..., 2] in pixels."""
    depth = points_cam[..., 2:].clamp(min=MIN_DEPTH)
    return points_cam[..., :2] / depth * focal + torch.as_tensor(
        principal_point, dtype=points_cam.dtype, device=points_cam.device
    )


def default_focal(size: tuple[int, int]) -> float:
    """Focal length in pixels of a usual camera: 32 mm for a full frame, 68 degrees along the diagonal of the image.

    Between phones (24 to 28 mm, longer where video is cropped), webcams and lenses of 35 to 50 mm. size: width, height.
    """
    return _USUAL_FOCAL * math.hypot(*size)


def ray_rotation(pixels: Floats, focal: float, center: tuple[float, float]) -> Floats:
    """Shortest rotation [..., 3, 3] that takes the optical axis to the ray through pixels [..., 2].

    A network that sees only a crop returns points of a person on the optical axis. This rotates them to the position
    of the crop. focal and center, the principal point, in pixels.
    """
    offset = np.asarray(pixels, np.float64) - np.asarray(center)
    ray = np.concatenate([offset, np.full_like(offset[..., :1], focal)], axis=-1)
    x, y, z = np.moveaxis(ray / np.linalg.norm(ray, axis=-1, keepdims=True), -1, 0)
    # Rodrigues' formula about the axis (-y, x, 0).
    rows = [[1 - x * x / (1 + z), -x * y / (1 + z), x], [-x * y / (1 + z), 1 - y * y / (1 + z), y], [-x, -y, z]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def ray_change(
    pixels: Floats, before: tuple[float, tuple[float, float]], after: tuple[float, tuple[float, float]]
) -> Floats:
    """Rotations [..., 3, 3] of points that `ray_rotation` turned with another camera to the rays of this one.

    pixels [..., 2]; before, after: focal length and principal point in pixels.
    """
    return ray_rotation(pixels, *after) @ ray_rotation(pixels, *before).swapaxes(-1, -2)


def outside_image(pixels: Floats, size: tuple[int, int]) -> Bools:
    """[...] whether pixels [..., 2] lie outside an image of this width and height."""
    return np.any((pixels < 0) | (pixels >= size), axis=-1)
