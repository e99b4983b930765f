"""3D Gaussians to 2D ones in the image: perspective, linearised at each middle (EWA splatting, Zwicker et al. 2001)."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from closemesh.appearance.rasterise.limits import BLUR, MIN_ALPHA, NEAR
from closemesh.geometry.rotations import quaternion_to_matrix

MARGIN = 0.3  # Of half the image: how far outside of it the linearisation still follows the middle of a Gaussian.

REACH = math.sqrt(-2 * math.log(MIN_ALPHA))  # Standard deviations at which a Gaussian of full opacity ends.


class Projection(NamedTuple):
    """What `rasterise` takes; Gaussians that are not visible have conics of zero, which draw nothing."""

    means2d: Tensor  # [G, 2] pixels
    conics: Tensor  # [G, 3] (a, b, c) of the inverse covariance [[a, b], [b, c]], 1 / pixels squared
    depths: Tensor  # [G] metres
    visible: Tensor  # [G] bool: in front of the camera, and its reach meets the image


class Camera(NamedTuple):
    """A pinhole camera and what follows from it for the linearisation."""

    focal: float  # pixels
    centre_x: float
    centre_y: float
    height: float
    width: float

    def limits(self) -> tuple[float, float, float, float]:
        """Smallest and largest x / z, smallest and largest y / z at which the perspective is linearised."""
        x, y = (MARGIN * 0.5 * pixels / self.focal for pixels in (self.width, self.height))
        left, right = -self.centre_x / self.focal - x, (self.width - self.centre_x) / self.focal + x
        top, bottom = -self.centre_y / self.focal - y, (self.height - self.centre_y) / self.focal + y
        return left, right, top, bottom


def project_gaussians(
    means: Tensor,  # [G, 3]
    rotations: Tensor,  # [G, 4] or [G, 3, 3]
    scales: Tensor,  # [G, 3]
    focal: float,
    centre: tuple[float, float],
    size: tuple[int, int],
    backend: Literal["reference", "cpu"] | None = None,
) -> Projection:
    """Means, shapes and depths of Gaussians in the image, differentiable in means, rotations and scales.

    means in metres, camera frame (OpenCV axes); rotations as quaternions (w, x, y, z) of any length or as matrices;
    scales are standard deviations in metres along the Gaussian's axes; focal and centre (x, y) in pixels; size: height
    and width. Without `backend`, tensors on the CPU take the compiled way, which reckons in float32.
    """
    camera = Camera(float(focal), float(centre[0]), float(centre[1]), float(size[0]), float(size[1]))
    if backend == "cpu" or (backend is None and means.device.type == "cpu"):
        from closemesh.appearance.rasterise.projection_cpu import project_cpu

        return Projection(*project_cpu(means, rotations, scales, camera))
    return project_reference(means, rotations, scales, camera)


def project_reference(means: Tensor, rotations: Tensor, scales: Tensor, camera: Camera) -> Projection:
    """`project_gaussians` in plain torch, on any device and in any precision."""
    if rotations.dim() == 2:
        rotations = quaternion_to_matrix(rotations)  # [G, 3, 3]
    in_front = means[:, 2] > NEAR
    x, y, z = torch.where(in_front[:, None], means, 1).unbind(-1)  # [G] each
    means2d = torch.stack([camera.focal * x / z + camera.centre_x, camera.focal * y / z + camera.centre_y], dim=-1)
    left, right, top, bottom = camera.limits()
    along_z = torch.stack([(x / z).clamp(left, right), (y / z).clamp(top, bottom)], dim=-1)  # [G, 2]
    axes = rotations * scales[:, None, :]  # [G, 3, 3] the Gaussian's axes as columns, as long as its deviations
    flat = (axes[:, :2] - along_z[..., None] * axes[:, 2:]) * (camera.focal / z)[:, None, None]  # [G, 2, 3]
    covariance = flat @ flat.transpose(-1, -2) + BLUR * torch.eye(2, dtype=means.dtype, device=means.device)
    p, q, r = covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
    conics = torch.stack([r, -q, p], dim=-1) / (p * r - q * q)[:, None]
    visible = in_front & _meets_image(means2d.detach(), torch.stack([p, r], dim=-1).detach(), camera)
    means2d, conics = (torch.where(visible[:, None], tensor, 0) for tensor in (means2d, conics))
    return Projection(means2d, conics, means[:, 2], visible)


def _meets_image(means2d: Tensor, variances: Tensor, camera: Camera) -> Tensor:
    """Whether a Gaussian of full opacity at means2d [G, 2] with variances [G, 2] along x and y draws in the image."""
    reach = REACH * variances.sqrt()
    size = means2d.new_tensor([camera.width, camera.height])
    return ((means2d + reach > 0) & (means2d - reach < size)).all(dim=-1)
