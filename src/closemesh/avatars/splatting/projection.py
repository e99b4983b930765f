"""EWA projection, PyTorch and numba.

3D Gaussians to 2D ones in the image: perspective, linearised at each middle (EWA splatting, Zwicker et al. 2001).

The projection of Gaussians compiled for the CPU, with its gradient written by hand.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from closemesh.avatars.splatting.numba_compile import run_in_pieces
from closemesh.avatars.splatting.projection_kernels import (
    differentiate_matrices,
    differentiate_quaternions,
    project_matrices,
    project_quaternions,
)
from closemesh.avatars.splatting.rasterize import BLUR, MIN_ALPHA, NEAR
from closemesh.geometry.rotations import quaternion_to_matrix

MARGIN = 0.3  # Of half the image: how far outside of it the linearisation still follows the middle of a Gaussian.

REACH = math.sqrt(-2 * math.log(MIN_ALPHA))  # Standard deviations at which a Gaussian of full opacity ends.


class Projection(NamedTuple):
    """What `rasterize` takes; Gaussians that are not visible have conics of zero, which draw nothing."""

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
        return Projection(*project_numba(means, rotations, scales, camera))
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


def project_numba(
    means: Tensor,  # [G, 3]
    rotations: Tensor,  # [G, 4] or [G, 3, 3]
    scales: Tensor,  # [G, 3]
    camera: Camera,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """means2d [G, 2], conics [G, 3], depths [G], visible [G], reckoned in float32 whatever comes in."""
    inputs = [tensor.to("cpu", torch.float32) for tensor in (means, rotations, scales)]
    means2d, conics, depths, visible = _Project.apply(*inputs, camera)
    return means2d.to(means), conics.to(means), depths.to(means), visible.to(means.device)


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, ...]:
        *inputs, camera = arguments
        means, rotations, scales = (tensor.detach().contiguous() for tensor in inputs)
        means2d, conics = torch.empty(len(means), 2), torch.empty(len(means), 3)
        depths, visible = torch.empty(len(means)), torch.empty(len(means), dtype=torch.bool)
        arrays = (means.numpy(), rotations.numpy(), scales.numpy())
        outputs = (means2d.numpy(), conics.numpy(), depths.numpy(), visible.numpy())
        _in_pieces(lambda first, last: _forward(first, last, arrays, camera, outputs), len(means))
        ctx.mark_non_differentiable(visible)
        ctx.save_for_backward(*inputs, conics, visible)
        ctx.camera = camera
        return means2d, conics, depths, visible

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        arrays = tuple(tensor.detach().contiguous().numpy() for tensor in (*ctx.saved_tensors, *grad_outputs[:3]))
        results = tuple(torch.empty(tensor.shape) for tensor in ctx.saved_tensors[:3])
        outputs = tuple(result.numpy() for result in results)
        _in_pieces(lambda first, last: _backward(first, last, arrays, ctx.camera, outputs), len(arrays[0]))
        return *results, None


def _forward(first: int, last: int, inputs: tuple[Any, ...], camera: Camera, outputs: tuple[Any, ...]) -> None:
    means, rotations, scales = (array[first:last] for array in inputs)
    numbers = np.array([*camera, *camera.limits()], dtype=np.float32)
    forward = project_matrices if rotations.ndim == 3 else project_quaternions
    forward(means, rotations, scales, numbers, *(array[first:last] for array in outputs))


def _backward(first: int, last: int, arrays: tuple[Any, ...], camera: Camera, outputs: tuple[Any, ...]) -> None:
    means, rotations, scales, *others = (array[first:last] for array in arrays)
    numbers = np.array([*camera, *camera.limits()], dtype=np.float32)
    backward = differentiate_matrices if rotations.ndim == 3 else differentiate_quaternions
    backward(means, rotations, scales, numbers, *others, *(array[first:last] for array in outputs))


def _in_pieces(function: Any, count: int) -> None:
    run_in_pieces(function, np.arange(count + 1), pieces_per_thread=2)
