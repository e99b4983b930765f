"""The projection of Gaussians compiled for the CPU, with its gradient written by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from closemesh.appearance.rasterise.cpu_compiled import run_in_pieces
from closemesh.appearance.rasterise.projection_kernels import (
    fill_matrices,
    fill_quaternion_gradients,
    project_range,
    project_range_backward,
)

if TYPE_CHECKING:
    from closemesh.appearance.rasterise.projection import Camera


def project_cpu(
    means: Tensor,  # [G, 3]
    rotations: Tensor,  # [G, 4] or [G, 3, 3]
    scales: Tensor,  # [G, 3]
    camera: Camera,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """means2d [G, 2], conics [G, 3], depths [G], visible [G], reckoned in float32 whatever comes in."""
    inputs = [tensor.to("cpu", torch.float32) for tensor in (means, rotations, scales)]
    means2d, conics, visible = _Project.apply(*inputs, camera)
    return means2d.to(means), conics.to(means), means[:, 2], visible.to(means.device)


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
        *inputs, camera = arguments
        means, rotations, scales = (tensor.detach().contiguous() for tensor in inputs)
        means2d, conics = torch.empty(len(means), 2), torch.empty(len(means), 3)
        visible = torch.empty(len(means), dtype=torch.bool)
        arrays = (means.numpy(), rotations.numpy(), scales.numpy())
        outputs = (means2d.numpy(), conics.numpy(), visible.numpy())
        _in_pieces(lambda first, last: _forward(first, last, arrays, camera, outputs), len(means))
        ctx.mark_non_differentiable(visible)
        ctx.save_for_backward(*inputs, conics, visible)
        ctx.camera = camera
        return means2d, conics, visible

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        arrays = tuple(tensor.detach().contiguous().numpy() for tensor in (*ctx.saved_tensors, *grad_outputs[:2]))
        results = tuple(torch.empty(tensor.shape) for tensor in ctx.saved_tensors[:3])
        outputs = tuple(result.numpy() for result in results)
        _in_pieces(lambda first, last: _backward(first, last, arrays, ctx.camera, outputs), len(arrays[0]))
        return *results, None


def _forward(first: int, last: int, inputs: tuple[Any, ...], camera: Camera, outputs: tuple[Any, ...]) -> None:
    means, rotations, scales = inputs
    matrices = _to_matrices(rotations[first:last])
    numbers = np.array([*camera, *camera.limits()], dtype=np.float32)
    parts = (array[first:last] for array in outputs)
    project_range(means[first:last], matrices, scales[first:last], numbers, *parts)


def _backward(first: int, last: int, arrays: tuple[Any, ...], camera: Camera, outputs: tuple[Any, ...]) -> None:
    means, rotations, scales, *others = (array[first:last] for array in arrays)
    means_gradient, rotations_gradient, scales_gradient = (array[first:last] for array in outputs)
    are_matrices = rotations.ndim == 3
    matrices = _to_matrices(rotations)
    matrices_gradient = rotations_gradient if are_matrices else np.empty_like(matrices)
    numbers = np.array([*camera, *camera.limits()], dtype=np.float32)
    results = (means_gradient, matrices_gradient, scales_gradient)
    project_range_backward(means, matrices, scales, numbers, *others, *results)
    if not are_matrices:
        fill_quaternion_gradients(rotations, matrices_gradient, rotations_gradient)


def _to_matrices(rotations: NDArray[np.float32]) -> NDArray[np.float32]:
    """[n, 3, 3] of quaternions [n, 4]; matrices stay what they are."""
    if rotations.ndim == 3:
        return rotations
    matrices = np.empty((len(rotations), 3, 3), dtype=np.float32)
    fill_matrices(rotations, matrices)
    return matrices


def _in_pieces(function: Any, count: int) -> None:
    run_in_pieces(function, np.arange(count + 1))
