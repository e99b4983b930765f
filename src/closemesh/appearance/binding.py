"""Gaussians on a moving body: each sits in the frame of the triangle of skin that carries it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from closemesh.appearance.avatar import SkinGaussians
from closemesh.appearance.surface import Surface
from closemesh.geometry.rotations import quaternion_to_matrix


class PlacedGaussians(NamedTuple):
    """Gaussians in the frame of the vertices that carry them."""

    means: Tensor  # [..., G, 3] metres
    rotations: Tensor  # [..., G, 3, 3] their axes as columns
    scales: Tensor  # [G, 3] standard deviations along the axes, metres


class SkinFrames(NamedTuple):
    """Points of the skin and axes there; the numbers of all Gaussians lie side by side, which is faster."""

    points: Tensor  # [..., 3, G] metres
    axes: Tensor  # [..., 3, 3, G] three unit vectors: along growing u, across, outward


def place_gaussians(surface: Surface, vertices: Tensor, gaussians: SkinGaussians) -> PlacedGaussians:
    """The Gaussians of one person on his posed skin, vertices [..., V, 3] metres; differentiable in both."""
    frames = skin_frames(surface, vertices)
    means = frames.points + _mixed(frames.axes, gaussians.offsets.T)  # [..., 3, G]
    turns = quaternion_to_matrix(gaussians.rotations).permute(2, 1, 0)  # [3, 3, G] their axes one after the other
    rotations = torch.stack([_mixed(frames.axes, axis) for axis in turns.unbind(0)], dim=-1)  # [..., 3, G, 3]
    return PlacedGaussians(means.mT, rotations.transpose(-3, -2), gaussians.scales)


def skin_frames(surface: Surface, vertices: Tensor) -> SkinFrames:
    """Points and axes where the Gaussians sit on vertices [..., V, 3]."""
    corners = vertices.index_select(-2, surface.corners.T.flatten())
    a, b, c = corners.unflatten(-2, (3, -1)).mT.contiguous().unbind(-3)  # [..., 3, G] each
    first, second, third = surface.barycentric.T.contiguous().unbind(0)  # [G] each
    edge, other = b - a, c - a
    along = _unit(surface.tangents[:, 0] * edge + surface.tangents[:, 1] * other)
    outward = _unit(torch.linalg.cross(edge, other, dim=-2))
    axes = torch.stack([along, torch.linalg.cross(outward, along, dim=-2), outward], dim=-3)
    return SkinFrames(first * a + second * b + third * c, axes)


def _unit(vectors: Tensor) -> Tensor:
    """Vectors [..., 3, G] of length 1; torch's own norm takes twenty times as long along this dimension."""
    return vectors * vectors.square().sum(-2, keepdim=True).clamp(min=1e-24).rsqrt()


def _mixed(axes: Tensor, shares: Tensor) -> Tensor:
    """Vectors [..., 3, G] of axes [..., 3, 3, G] times shares [3, G]."""
    along, across, outward = axes.unbind(-3)
    return shares[0] * along + shares[1] * across + shares[2] * outward
