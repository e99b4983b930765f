"""The projection of Gaussians compiled for the CPU, with its gradient written by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from closemesh.appearance.rasterise.cpu_compiled import run_in_pieces
from closemesh.appearance.rasterise.projection_kernels import (
    differentiate_matrices,
    differentiate_quaternions,
    project_matrices,
    project_quaternions,
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
