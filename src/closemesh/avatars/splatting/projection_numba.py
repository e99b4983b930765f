"""Projection of Gaussians on the CPU: compiled for numba, with a hand-written gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from closemesh.avatars.splatting.numba_compile import compiled, run_in_parallel
from closemesh.avatars.splatting.rasterize import BLUR, MIN_ALPHA, NEAR

# Compiled functions have no annotations: numba infers the types.
# pyright: reportMissingParameterType=false

_MAX_SIGMAS = np.float32(math.sqrt(-2 * math.log(MIN_ALPHA)))
_BLUR, _NEAR = np.float32(BLUR), np.float32(NEAR)
_CHUNK = 256  # Gaussians whose matrices are computed and used while they are in the L1 cache.
_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)


def project_numba(
    means: Tensor,  # [G, 3]
    rotations: Tensor,  # [G, 4] or [G, 3, 3]
    scales: Tensor,  # [G, 3]
    camera: NDArray[np.float32],  # [9]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """means2d [G, 2], conics [G, 3], depths [G], visible [G], computed in float32 for any input dtype."""
    means2d, conics, depths, visible = _Project.apply(
        means.to("cpu", torch.float32), rotations.to("cpu", torch.float32), scales.to("cpu", torch.float32), camera
    )
    return means2d.to(means), conics.to(means), depths.to(means), visible.to(means.device)


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, means: Tensor, rotations: Tensor, scales: Tensor, camera: NDArray[np.float32]
    ) -> tuple[Tensor, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        gaussians = _Gaussians(_to_numpy(means), _to_numpy(rotations), _to_numpy(scales))
        means2d, conics = torch.empty(len(means), 2), torch.empty(len(means), 3)
        depths, visible = torch.empty(len(means)), torch.empty(len(means), dtype=torch.bool)
        projected = _Projected(means2d.numpy(), conics.numpy(), depths.numpy(), visible.numpy())

        def project(first: int, last: int) -> None:
            _forward(gaussians.part(first, last), camera, projected.part(first, last))

        run_in_parallel(project, np.arange(len(means) + 1), pieces_per_thread=2)
        ctx.mark_non_differentiable(visible)
        ctx.save_for_backward(means, rotations, scales, conics, visible)
        ctx.camera = camera
        return means2d, conics, depths, visible

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        means, rotations, scales, conics, visible = ctx.saved_tensors
        gaussians = _Gaussians(_to_numpy(means), _to_numpy(rotations), _to_numpy(scales))
        means2d_gradient, conics_gradient, depths_gradient, _ = grad_outputs
        image_gradients = _Projected(
            _to_numpy(means2d_gradient), _to_numpy(conics_gradient), _to_numpy(depths_gradient), _to_numpy(visible)
        )
        conics = _to_numpy(conics)
        to_means, to_rotations, to_scales = (torch.empty(tensor.shape) for tensor in (means, rotations, scales))
        gradients = _Gaussians(to_means.numpy(), to_rotations.numpy(), to_scales.numpy())

        def differentiate(first: int, last: int) -> None:
            _backward(
                gaussians.part(first, last),
                ctx.camera,
                conics[first:last],
                image_gradients.part(first, last),
                gradients.part(first, last),
            )

        run_in_parallel(differentiate, np.arange(len(means) + 1), pieces_per_thread=2)
        return to_means, to_rotations, to_scales, None


@dataclass(frozen=True)
class _Gaussians:
    """G Gaussians, or the gradients of a loss with respect to them."""

    means: NDArray[np.float32]  # [G, 3]
    rotations: NDArray[np.float32]  # [G, 4] or [G, 3, 3]
    scales: NDArray[np.float32]  # [G, 3]

    def part(self, first: int, last: int) -> _Gaussians:
        return _Gaussians(self.means[first:last], self.rotations[first:last], self.scales[first:last])


@dataclass(frozen=True)
class _Projected:
    """G Gaussians in the image; in the backward pass the gradients with respect to the first three."""

    means2d: NDArray[np.float32]  # [G, 2]
    conics: NDArray[np.float32]  # [G, 3]
    depths: NDArray[np.float32]  # [G]
    visible: NDArray[np.bool_]  # [G]

    def part(self, first: int, last: int) -> _Projected:
        return _Projected(
            self.means2d[first:last], self.conics[first:last], self.depths[first:last], self.visible[first:last]
        )


def _to_numpy(tensor: Tensor) -> NDArray[Any]:
    return tensor.detach().contiguous().numpy()


def _forward(gaussians: _Gaussians, camera: NDArray[np.float32], projected: _Projected) -> None:
    project = _project_matrices if gaussians.rotations.ndim == 3 else _project_quaternions
    project(
        gaussians.means,
        gaussians.rotations,
        gaussians.scales,
        camera,
        projected.means2d,
        projected.conics,
        projected.depths,
        projected.visible,
    )


def _backward(
    gaussians: _Gaussians,
    camera: NDArray[np.float32],
    conics: NDArray[np.float32],
    image_gradients: _Projected,
    gradients: _Gaussians,
) -> None:
    differentiate = _differentiate_matrices if gaussians.rotations.ndim == 3 else _differentiate_quaternions
    differentiate(
        gaussians.means,
        gaussians.rotations,
        gaussians.scales,
        camera,
        conics,
        image_gradients.visible,
        image_gradients.means2d,
        image_gradients.conics,
        image_gradients.depths,
        gradients.means,
        gradients.rotations,
        gradients.scales,
    )


@compiled
def _project_matrices(means, matrices, scales, camera, means2d, conics, depths, visible):
    """Fill means2d [N, 2], conics [N, 3], depths [N], visible [N]; camera [9] as in Pinhole.as_array."""
    focal, center_x, center_y, height, width = camera[0], camera[1], camera[2], camera[3], camera[4]
    for g in range(len(means)):
        visible[g], depths[g] = False, means[g, 2]
        means2d[g, 0], means2d[g, 1] = _ZERO, _ZERO
        conics[g, 0], conics[g, 1], conics[g, 2] = _ZERO, _ZERO, _ZERO
        if not means[g, 2] > _NEAR:
            continue
        inverse = _ONE / means[g, 2]
        x, y, per_meter = means[g, 0] * inverse, means[g, 1] * inverse, focal * inverse
        along_x, along_y = min(max(x, camera[5]), camera[6]), min(max(y, camera[7]), camera[8])
        p, q, r = _BLUR, _ZERO, _BLUR
        for j in range(3):
            s = scales[g, j] * per_meter
            u = (matrices[g, 0, j] - along_x * matrices[g, 2, j]) * s
            v = (matrices[g, 1, j] - along_y * matrices[g, 2, j]) * s
            p, q, r = p + u * u, q + u * v, r + v * v
        image_x, image_y = focal * x + center_x, focal * y + center_y
        extent_x, extent_y = _MAX_SIGMAS * math.sqrt(p), _MAX_SIGMAS * math.sqrt(r)
        overlaps_x = image_x + extent_x > 0 and image_x - extent_x < width
        if not (overlaps_x and image_y + extent_y > 0 and image_y - extent_y < height):
            continue
        inverse_determinant = _ONE / (p * r - q * q)
        visible[g] = True
        means2d[g, 0], means2d[g, 1] = image_x, image_y
        conics[g, 0], conics[g, 1], conics[g, 2] = (
            r * inverse_determinant,
            -q * inverse_determinant,
            p * inverse_determinant,
        )


@compiled
def _differentiate_matrices(
    means, matrices, scales, camera, conics, visible, means2d_gradient, conics_gradient, depths_gradient,
    means_gradient, matrices_gradient, scales_gradient,
):  # fmt: skip
    """Fill the last three from the gradients of means2d [N, 2], conics [N, 3] and depths [N].

    Gaussians that are not visible have a gradient of their depth only.
    """
    focal = camera[0]
    for g in range(len(means)):
        if not visible[g]:
            for i in range(3):
                means_gradient[g, i], scales_gradient[g, i] = _ZERO, _ZERO
                for j in range(3):
                    matrices_gradient[g, i, j] = _ZERO
            means_gradient[g, 2] = depths_gradient[g]
            continue
        inverse = _ONE / means[g, 2]
        x, y, per_meter = means[g, 0] * inverse, means[g, 1] * inverse, focal * inverse
        along_x, along_y = min(max(x, camera[5]), camera[6]), min(max(y, camera[7]), camera[8])
        # The covariance [[p, q], [q, r]] is the inverse of the conic: its gradient is -conic * gradient * conic.
        a, b, c = conics[g, 0], conics[g, 1], conics[g, 2]
        to_a, to_b, to_c = conics_gradient[g, 0], conics_gradient[g, 1], conics_gradient[g, 2]
        to_p = -(a * a * to_a + a * b * to_b + b * b * to_c)
        to_q = -(_TWO * a * b * to_a + (a * c + b * b) * to_b + _TWO * b * c * to_c)
        to_r = -(b * b * to_a + b * c * to_b + c * c * to_c)
        to_per_meter, to_along_x, to_along_y = _ZERO, _ZERO, _ZERO
        for j in range(3):
            scale = scales[g, j]
            across_x = matrices[g, 0, j] - along_x * matrices[g, 2, j]
            across_y = matrices[g, 1, j] - along_y * matrices[g, 2, j]
            u, v = across_x * scale * per_meter, across_y * scale * per_meter
            to_u, to_v = _TWO * u * to_p + v * to_q, _TWO * v * to_r + u * to_q
            to_per_meter += (across_x * to_u + across_y * to_v) * scale
            scales_gradient[g, j] = (across_x * to_u + across_y * to_v) * per_meter
            to_x, to_y = to_u * scale * per_meter, to_v * scale * per_meter
            matrices_gradient[g, 0, j], matrices_gradient[g, 1, j] = to_x, to_y
            matrices_gradient[g, 2, j] = -(along_x * to_x + along_y * to_y)
            to_along_x -= matrices[g, 2, j] * to_x
            to_along_y -= matrices[g, 2, j] * to_y
        # At the limit the linearization point does not follow the mean.
        to_x = focal * means2d_gradient[g, 0] + (to_along_x if along_x == x else _ZERO)
        to_y = focal * means2d_gradient[g, 1] + (to_along_y if along_y == y else _ZERO)
        means_gradient[g, 0], means_gradient[g, 1] = to_x * inverse, to_y * inverse
        means_gradient[g, 2] = depths_gradient[g] - (x * to_x + y * to_y + to_per_meter * per_meter) * inverse


@compiled
def _project_quaternions(means, quaternions, scales, camera, means2d, conics, depths, visible):
    """`_project_matrices` for quaternions [N, 4] of any length."""
    matrices = np.empty((_CHUNK, 3, 3), dtype=np.float32)
    for first in range(0, len(means), _CHUNK):
        chunk = slice(first, min(first + _CHUNK, len(means)))
        _fill_matrices(quaternions[chunk], matrices)
        _project_matrices(
            means[chunk], matrices, scales[chunk], camera, means2d[chunk], conics[chunk], depths[chunk], visible[chunk]
        )


@compiled
def _differentiate_quaternions(
    means, quaternions, scales, camera, conics, visible, means2d_gradient, conics_gradient, depths_gradient,
    means_gradient, quaternions_gradient, scales_gradient,
):  # fmt: skip
    """`_differentiate_matrices` for quaternions [N, 4] of any length."""
    matrices, gradient = np.empty((_CHUNK, 3, 3), dtype=np.float32), np.empty((_CHUNK, 3, 3), dtype=np.float32)
    for first in range(0, len(means), _CHUNK):
        chunk = slice(first, min(first + _CHUNK, len(means)))
        _fill_matrices(quaternions[chunk], matrices)
        _differentiate_matrices(
            means[chunk], matrices, scales[chunk], camera, conics[chunk], visible[chunk], means2d_gradient[chunk],
            conics_gradient[chunk], depths_gradient[chunk], means_gradient[chunk], gradient, scales_gradient[chunk],
        )  # fmt: skip
        _fill_quaternion_gradients(quaternions[chunk], gradient, quaternions_gradient[chunk])


@compiled
def _fill_matrices(quaternions, matrices):
    """Fill rotation matrices [N, 3, 3] of quaternions [N, 4] of any length."""
    for g in range(len(quaternions)):
        w, x, y, z, _ = _unit(quaternions, g)
        matrices[g, 0, 0] = _ONE - _TWO * (y * y + z * z)
        matrices[g, 0, 1] = _TWO * (x * y - w * z)
        matrices[g, 0, 2] = _TWO * (x * z + w * y)
        matrices[g, 1, 0] = _TWO * (x * y + w * z)
        matrices[g, 1, 1] = _ONE - _TWO * (x * x + z * z)
        matrices[g, 1, 2] = _TWO * (y * z - w * x)
        matrices[g, 2, 0] = _TWO * (x * z - w * y)
        matrices[g, 2, 1] = _TWO * (y * z + w * x)
        matrices[g, 2, 2] = _ONE - _TWO * (x * x + y * y)


@compiled
def _fill_quaternion_gradients(quaternions, matrices_gradient, gradients):
    """Fill gradients [N, 4] of quaternions [N, 4] from those of their matrices [N, 3, 3]."""
    for g in range(len(quaternions)):
        w, x, y, z, per_length = _unit(quaternions, g)
        m = matrices_gradient[g]
        to_w = _TWO * (z * (m[1, 0] - m[0, 1]) + y * (m[0, 2] - m[2, 0]) + x * (m[2, 1] - m[1, 2]))
        to_x = _TWO * (y * (m[0, 1] + m[1, 0]) + z * (m[0, 2] + m[2, 0]) + w * (m[2, 1] - m[1, 2]))
        to_y = _TWO * (x * (m[0, 1] + m[1, 0]) + z * (m[1, 2] + m[2, 1]) + w * (m[0, 2] - m[2, 0]))
        to_z = _TWO * (x * (m[0, 2] + m[2, 0]) + y * (m[1, 2] + m[2, 1]) + w * (m[1, 0] - m[0, 1]))
        to_x -= _TWO * _TWO * x * (m[1, 1] + m[2, 2])
        to_y -= _TWO * _TWO * y * (m[0, 0] + m[2, 2])
        to_z -= _TWO * _TWO * z * (m[0, 0] + m[1, 1])
        # Only the part that rotates the unit quaternion counts, not the part along it.
        radial = to_w * w + to_x * x + to_y * y + to_z * z
        gradients[g, 0], gradients[g, 1] = per_length * (to_w - radial * w), per_length * (to_x - radial * x)
        gradients[g, 2], gradients[g, 3] = per_length * (to_y - radial * y), per_length * (to_z - radial * z)


@compiled
def _unit(quaternions, g):
    """The unit quaternion g and one over the length of the input."""
    w, x, y, z = quaternions[g, 0], quaternions[g, 1], quaternions[g, 2], quaternions[g, 3]
    per_length = _ONE / max(np.float32(math.sqrt(w * w + x * x + y * y + z * z)), np.float32(1e-12))
    return w * per_length, x * per_length, y * per_length, z * per_length, per_length
