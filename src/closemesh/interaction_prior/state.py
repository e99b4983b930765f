"""The motion of two people as one state, in a view of the pair, and packed into vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import Self

from closemesh.core.tensor_dataclass import TensorDataclass
from closemesh.geometry.rotations import matrix_to_6d, rotation_6d_to_matrix, shortest_arc_rotation

NUM_ROTATIONS = 22
NUM_BETAS = 10
STATE_WIDTH = NUM_ROTATIONS * 6 + NUM_BETAS + 3


@dataclass(frozen=True)
class _PairRecord(TensorDataclass):
    """Tensors [B, T, 2, ...]."""

    TIME_AXIS: ClassVar[int | None] = 1

    def swapped(self) -> Self:
        """The same with the two people exchanged."""
        return self.map(lambda tensor: tensor.flip(2))


@dataclass(frozen=True)
class PairState(_PairRecord):
    """B windows of T frames of a pair, or of P people on the third axis."""

    rotations: Tensor  # [B, T, 2, 22, 3, 3] root in the view first
    betas: Tensor  # [B, T, 2, 10]
    pelvis: Tensor  # [B, T, 2, 3] meters, in the view


@dataclass(frozen=True)
class PairUncertainty(_PairRecord):
    """Standard deviations of a PairState."""

    rotation_std: Tensor  # [B, T, 2, 22] radians
    betas_std: Tensor  # [B, T, 2, 10]
    pelvis_std: Tensor  # [B, T, 2, 3] meters, in the view


@dataclass(frozen=True)
class PairView:
    """Axes and origin of a window of a pair: turned towards its middle, origin there."""

    R_view_cam: Tensor  # [B, 3, 3]
    origin_cam: Tensor  # [B, 3] meters

    def points_to_view(self, points_cam: Tensor) -> Tensor:
        """points_cam [B, ..., 3] in the view, same shape [B, ..., 3]; meters."""
        shape = (-1, *([1] * (points_cam.ndim - 2)), 3)
        return torch.einsum("bij,b...j->b...i", self.R_view_cam, points_cam - self.origin_cam.reshape(shape))

    def points_to_cam(self, points_view: Tensor) -> Tensor:
        """points_view [B, ..., 3] in the camera frame, same shape [B, ..., 3]; meters."""
        shape = (-1, *([1] * (points_view.ndim - 2)), 3)
        return torch.einsum("bji,b...j->b...i", self.R_view_cam, points_view) + self.origin_cam.reshape(shape)


def pair_view(pelvis_cam: Tensor) -> PairView:
    """The view of pelvis_cam [B, T, 2, 3] in the camera frame: turned, without roll, towards their mean."""
    origin = pelvis_cam.mean((1, 2))
    direction = F.normalize(origin, dim=-1)
    return PairView(
        shortest_arc_rotation(direction, direction.new_tensor([0.0, 0.0, 1.0]).expand_as(direction)), origin
    )


def state_to_view(state: PairState, view: PairView) -> PairState:
    """A state in the camera frame, in the views."""
    root = torch.einsum("bij,btpjk->btpik", view.R_view_cam, state.rotations[:, :, :, 0])[:, :, :, None]
    rotations = torch.cat([root, state.rotations[:, :, :, 1:]], dim=3)
    return PairState(rotations, state.betas, view.points_to_view(state.pelvis))


def state_to_camera(state: PairState, view: PairView) -> PairState:
    """The inverse of `state_to_view`."""
    root = torch.einsum("bji,btpjk->btpik", view.R_view_cam, state.rotations[:, :, :, 0])[:, :, :, None]
    rotations = torch.cat([root, state.rotations[:, :, :, 1:]], dim=3)
    return PairState(rotations, state.betas, view.points_to_cam(state.pelvis))


def pack(state: PairState) -> Tensor:
    """[B, T, 2, STATE_WIDTH] rotations in 6D, betas, pelvis."""
    return torch.cat([matrix_to_6d(state.rotations).flatten(-2), state.betas, state.pelvis], dim=-1)


def unpack(vector: Tensor) -> PairState:
    """The inverse of `pack`, for any vector [B, T, 2, STATE_WIDTH]: 6D numbers are made orthonormal."""
    rotations, betas, pelvis = vector.split([NUM_ROTATIONS * 6, NUM_BETAS, 3], dim=-1)
    return PairState(rotation_6d_to_matrix(rotations.unflatten(-1, (NUM_ROTATIONS, 6))), betas, pelvis)


def pack_std(std: PairUncertainty) -> Tensor:
    """[B, T, 2, STATE_WIDTH] standard deviations of the packed numbers, to first order.

    A small random rotation with standard deviation s about each axis moves each number of a row by about
    s * sqrt(2 / 3).
    """
    rotation = std.rotation_std[..., None].expand(*std.rotation_std.shape, 6).flatten(-2) * (2 / 3) ** 0.5
    return torch.cat([rotation, std.betas_std, std.pelvis_std], dim=-1)
