"""Two people's motion as one state: rotations, shapes and places in a view of the pair, and as plain vectors."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.geometry.rotations import matrix_to_6d, rotation_6d_to_matrix, shortest_arc_rotation

NUM_ROTATIONS = 22
NUM_BETAS = 10
STATE_WIDTH = NUM_ROTATIONS * 6 + NUM_BETAS + 3


@dataclass(frozen=True)
class PairState:
    """B windows of T frames of a pair, or of anything with the same axes before the last ones."""

    rotations: Tensor  # [B, T, 2, 22, 3, 3] root in the view first
    betas: Tensor  # [B, T, 2, 10]
    pelvis: Tensor  # [B, T, 2, 3] metres, in the view

    def swapped(self) -> PairState:
        """The same with the two people exchanged."""
        return self.map(lambda tensor: tensor.flip(2))

    def map(self, function) -> PairState:
        return PairState(**{f.name: function(getattr(self, f.name)) for f in fields(self)})


@dataclass(frozen=True)
class PairSpread:
    """Standard deviations of a PairState."""

    rotations: Tensor  # [B, T, 2, 22] radians
    betas: Tensor  # [B, T, 2, 10]
    pelvis: Tensor  # [B, T, 2, 3] metres, in the view


@dataclass(frozen=True)
class PairView:
    """Axes and origin in which a window of a pair is described: looking at its middle, origin there."""

    R_view_cam: Tensor  # [B, 3, 3]
    origin_cam: Tensor  # [B, 3] metres

    def points_to_view(self, points_cam: Tensor) -> Tensor:
        """[B, ..., 3]."""
        shape = (-1, *([1] * (points_cam.ndim - 2)), 3)
        return torch.einsum("bij,b...j->b...i", self.R_view_cam, points_cam - self.origin_cam.reshape(shape))

    def points_to_cam(self, points_view: Tensor) -> Tensor:
        """[B, ..., 3]."""
        shape = (-1, *([1] * (points_view.ndim - 2)), 3)
        return torch.einsum("bji,b...j->b...i", self.R_view_cam, points_view) + self.origin_cam.reshape(shape)


def pair_view(pelvis_cam: Tensor) -> PairView:
    """The view of pelvises [B, T, 2, 3] in the camera frame: turned, without rolling, to their middle."""
    origin = pelvis_cam.mean((1, 2))
    direction = F.normalize(origin, dim=-1)
    return PairView(
        shortest_arc_rotation(direction, direction.new_tensor([0.0, 0.0, 1.0]).expand_as(direction)), origin
    )


def turn(view: PairView, root_cam: Tensor) -> Tensor:
    """Root rotations [B, T, 2, 3, 3] of cam in the view."""
    return torch.einsum("bij,btpjk->btpik", view.R_view_cam, root_cam)


def turn_back(view: PairView, root_view: Tensor) -> Tensor:
    """The inverse of `turn`."""
    return torch.einsum("bji,btpjk->btpik", view.R_view_cam, root_view)


def pack(state: PairState) -> Tensor:
    """[B, T, 2, STATE_WIDTH] rotations in 6D, betas, pelvis."""
    return torch.cat([matrix_to_6d(state.rotations).flatten(-2), state.betas, state.pelvis], dim=-1)


def unpack(vector: Tensor) -> PairState:
    """The inverse of `pack`, for any 6D numbers."""
    rotations, betas, pelvis = vector.split([NUM_ROTATIONS * 6, NUM_BETAS, 3], dim=-1)
    return PairState(rotation_6d_to_matrix(rotations.unflatten(-1, (NUM_ROTATIONS, 6))), betas, pelvis)


def pack_spread(spread: PairSpread) -> Tensor:
    """[B, T, 2, STATE_WIDTH] standard deviations of the packed numbers, to first order.

    A turn by a small random angle of standard deviation s about each axis moves each number of a row by about
    s * sqrt(2 / 3).
    """
    rotations = spread.rotations[..., None].expand(*spread.rotations.shape, 6).flatten(-2) * (2 / 3) ** 0.5
    return torch.cat([rotations, spread.betas, spread.pelvis], dim=-1)
