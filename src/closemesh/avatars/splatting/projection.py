"""Projection of 3D Gaussians to 2D ones: perspective linearized at each mean (EWA splatting, Zwicker et al. 2001)."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from closemesh.avatars.splatting.projection_numba import project_numba
from closemesh.avatars.splatting.rasterize import BLUR, MIN_ALPHA, NEAR
from closemesh.geometry.rotations import quaternion_to_matrix

MARGIN = 0.3  # Fraction of half the image: how far outside of it the linearization point follows the mean.
MAX_SIGMAS = math.sqrt(-2 * math.log(MIN_ALPHA))  # Standard deviations at which a Gaussian of opacity 1 ends.


class Projection(NamedTuple):
    """Inputs of `rasterize`; Gaussians that are not visible have conics of zero, which are skipped."""

    means2d: Tensor  # [G, 2] pixels
    conics: Tensor  # [G, 3] (a, b, c) of the inverse covariance [[a, b], [b, c]], 1 / pixels squared
    depths: Tensor  # [G] meters
    visible: Tensor  # [G] bool: in front of the camera, and its extent overlaps the image


class Pinhole(NamedTuple):
    """Pinhole camera and its limits of the linearization."""

    focal: float  # pixels
    center_x: float
    center_y: float
    height: float
    width: float

    def limits(self) -> tuple[float, float, float, float]:
        """Smallest and largest x / z, smallest and largest y / z at which the perspective is linearized."""
        x, y = (MARGIN * 0.5 * pixels / self.focal for pixels in (self.width, self.height))
        left, right = -self.center_x / self.focal - x, (self.width - self.center_x) / self.focal + x
        top, bottom = -self.center_y / self.focal - y, (self.height - self.center_y) / self.focal + y
        return left, right, top, bottom

    def as_array(self) -> NDArray[np.float32]:
        """[9] the fields and the limits, for compiled functions."""
        return np.array([*self, *self.limits()], dtype=np.float32)


def project_gaussians(
    means: Tensor,  # [G, 3]
    rotations: Tensor,  # [G, 4] or [G, 3, 3]
    scales: Tensor,  # [G, 3]
    focal: float,
    principal_point: tuple[float, float],
    size: tuple[int, int],
    backend: Literal["reference", "numba"] | None = None,
) -> Projection:
    """Means, conics and depths of Gaussians in the image, differentiable in means, rotations and scales.

    means in meters, camera frame (OpenCV axes); rotations as quaternions (w, x, y, z) of any length or as matrices;
    scales are standard deviations in meters along the Gaussian's axes; focal and principal_point (x, y) in pixels;
    size: height and width. Without `backend`, numba takes tensors on the CPU, in float32, and PyTorch all others.
    """
    camera = Pinhole(float(focal), float(principal_point[0]), float(principal_point[1]), float(size[0]), float(size[1]))
    if backend == "numba" or (backend is None and means.device.type == "cpu"):
        return Projection(*project_numba(means, rotations, scales, camera.as_array()))
    return project_reference(means, rotations, scales, camera)


def project_reference(means: Tensor, rotations: Tensor, scales: Tensor, camera: Pinhole) -> Projection:
    """`project_gaussians` in plain PyTorch, on any device and in any precision.

    means [G, 3] meters, rotations [G, 4] or [G, 3, 3], scales [G, 3] meters.
    """
    if rotations.dim() == 2:
        rotations = quaternion_to_matrix(rotations)  # [G, 3, 3]
    in_front = means[:, 2] > NEAR
    x, y, z = torch.where(in_front[:, None], means, 1).unbind(-1)  # [G] each
    means2d = torch.stack([camera.focal * x / z + camera.center_x, camera.focal * y / z + camera.center_y], dim=-1)
    left, right, top, bottom = camera.limits()
    along_z = torch.stack([(x / z).clamp(left, right), (y / z).clamp(top, bottom)], dim=-1)  # [G, 2]
    axes = rotations * scales[:, None, :]  # [G, 3, 3] axes as columns, scaled by the standard deviations
    flat = (axes[:, :2] - along_z[..., None] * axes[:, 2:]) * (camera.focal / z)[:, None, None]  # [G, 2, 3]
    covariance = flat @ flat.transpose(-1, -2) + BLUR * torch.eye(2, dtype=means.dtype, device=means.device)
    p, q, r = covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
    conics = torch.stack([r, -q, p], dim=-1) / (p * r - q * q)[:, None]
    visible = in_front & _overlaps_image(means2d.detach(), torch.stack([p, r], dim=-1).detach(), camera)
    means2d, conics = (torch.where(visible[:, None], tensor, 0) for tensor in (means2d, conics))
    return Projection(means2d, conics, means[:, 2], visible)


def _overlaps_image(means2d: Tensor, variances: Tensor, camera: Pinhole) -> Tensor:
    """[G] whether Gaussians of opacity 1 at means2d [G, 2] with variances [G, 2] along x and y cover any pixel."""
    extent = MAX_SIGMAS * variances.sqrt()
    size = means2d.new_tensor([camera.width, camera.height])
    return ((means2d + extent > 0) & (means2d - extent < size)).all(dim=-1)
