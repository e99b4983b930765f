"""Gaussians on a moving body: each sits in the frame of the triangle of skin that carries it."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.appearance.avatar import SkinGaussians
from closemesh.appearance.surface import Surface
from closemesh.geometry.rotations import quaternion_to_matrix


class PlacedGaussians(NamedTuple):
    """Gaussians in the frame of the vertices that carry them."""

    means: Tensor  # [..., G, 3] metres
    rotations: Tensor  # [..., G, 3, 3] their axes as columns
    scales: Tensor  # [G, 3] standard deviations along the axes, metres


def place_gaussians(surface: Surface, vertices: Tensor, gaussians: SkinGaussians) -> PlacedGaussians:
    """The Gaussians of one person on his posed skin, vertices [..., V, 3] metres; differentiable in both."""
    corners = vertices.index_select(-2, surface.corners.flatten()).unflatten(-2, (-1, 3))  # [..., G, 3, 3]
    frames = skin_frames(surface, corners)
    on_skin = (surface.barycentric[..., None] * corners).sum(-2)
    means = on_skin + (frames @ gaussians.offsets[..., None])[..., 0]
    return PlacedGaussians(means, frames @ quaternion_to_matrix(gaussians.rotations), gaussians.scales)


def skin_frames(surface: Surface, corners: Tensor) -> Tensor:
    """Axes [..., G, 3, 3] as columns at the triangles [..., G, 3, 3]: along growing u, across, outward."""
    edges = corners[..., 1:, :] - corners[..., :1, :]
    along = F.normalize((surface.tangents[..., None] * edges).sum(-2), dim=-1, eps=1e-9)
    outward = F.normalize(torch.linalg.cross(edges[..., 0, :], edges[..., 1, :]), dim=-1, eps=1e-12)
    return torch.stack([along, torch.linalg.cross(outward, along), outward], dim=-1)
