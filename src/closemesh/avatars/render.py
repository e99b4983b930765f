"""Rendering of avatars: local Gaussians posed with the surface, then splatted together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.avatars.model import AvatarSet, LocalGaussians
from closemesh.avatars.splatting.projection import project_gaussians
from closemesh.avatars.splatting.rasterize import rasterize
from closemesh.avatars.surface import UVSurface
from closemesh.geometry.rotations import quaternion_to_matrix


class PosedGaussians(NamedTuple):
    """Gaussians in the frame of the posed vertices."""

    means: Tensor  # [..., G, 3] meters
    rotations: Tensor  # [..., G, 3, 3] axes as columns
    scales: Tensor  # [G, 3] standard deviations along the axes, meters


class SurfaceFrames(NamedTuple):
    """Surface points and tangent frames; Gaussians are on the last axis, which is faster."""

    points: Tensor  # [..., 3, G] meters
    axes: Tensor  # [..., 3, 3, G] unit vectors: along u, bitangent, normal


def pose_gaussians(surface: UVSurface, vertices: Tensor, gaussians: LocalGaussians) -> PosedGaussians:
    """The Gaussians of one person on vertices [..., V, 3], meters; differentiable in both."""
    frames = surface_frames(surface, vertices)
    means = frames.points + _combine(frames.axes, gaussians.offsets.T)  # [..., 3, G]
    local = quaternion_to_matrix(gaussians.rotations).permute(2, 1, 0)  # [3, 3, G] axis by axis
    rotations = torch.stack([_combine(frames.axes, axis) for axis in local.unbind(0)], dim=-1)  # [..., 3, G, 3]
    return PosedGaussians(means.mT, rotations.transpose(-3, -2), gaussians.scales)


def surface_frames(surface: UVSurface, vertices: Tensor) -> SurfaceFrames:
    """Points and tangent frames of the texels on vertices [..., V, 3], meters."""
    corners = vertices.index_select(-2, surface.corners.T.flatten())
    a, b, c = corners.unflatten(-2, (3, -1)).mT.contiguous().unbind(-3)  # [..., 3, G] each
    first, second, third = surface.barycentric.T.contiguous().unbind(0)  # [G] each
    edge, other = b - a, c - a
    tangent = _unit(surface.tangents[:, 0] * edge + surface.tangents[:, 1] * other)
    normal = _unit(torch.linalg.cross(edge, other, dim=-2))
    axes = torch.stack([tangent, torch.linalg.cross(normal, tangent, dim=-2), normal], dim=-3)
    return SurfaceFrames(first * a + second * b + third * c, axes)


def _unit(vectors: Tensor) -> Tensor:
    """Vectors [..., 3, G] of length 1; torch's norm is 20 times slower along this axis."""
    return vectors * vectors.square().sum(-2, keepdim=True).clamp(min=1e-24).rsqrt()


def _combine(axes: Tensor, coordinates: Tensor) -> Tensor:
    """Vectors [..., 3, G] with these coordinates [3, G] in axes [..., 3, 3, G]."""
    tangent, bitangent, normal = axes.unbind(-3)
    return coordinates[0] * tangent + coordinates[1] * bitangent + coordinates[2] * normal


class Viewport(NamedTuple):
    """Pinhole camera of a part of a frame, scaled."""

    focal: float  # pixels of the part
    principal_point: tuple[float, float]  # x and y, pixels of the part
    size: tuple[int, int]  # height and width


class RenderedImage(NamedTuple):
    """Gaussians rendered without a background."""

    image: Tensor  # [H, W, 3] premultiplied with alpha
    identity: Tensor  # [H, W, P] alpha of each person
    alpha: Tensor  # [H, W] sum over the people

    def over(self, background: Tensor | float) -> Tensor:
        """The image [H, W, 3] over a background color: [3], or one gray value."""
        return self.image + (1 - self.alpha)[..., None] * background


class PosedPerson(NamedTuple):
    """Gaussians of one person: posed geometry, and local ones with color and opacity."""

    posed: PosedGaussians  # [G, ...]
    local: LocalGaussians  # [G, ...]


def render_people(
    people: Sequence[PosedPerson], viewport: Viewport, identities: Sequence[int], num_identities: int
) -> RenderedImage:
    """All people in one image, differentiable in geometry and color; Gaussians in the camera frame.

    identities: channel of each person among the `num_identities` identity channels.
    """
    posed, local = zip(*people, strict=True)
    means, rotations, scales = (torch.cat(parts) for parts in zip(*posed, strict=True))
    projection = project_gaussians(means, rotations, scales, viewport.focal, viewport.principal_point, viewport.size)
    colors, opacities = (torch.cat(parts) for parts in ([x.colors for x in local], [x.opacities for x in local]))
    counts = torch.tensor([len(one.opacities) for one in local])
    owners = torch.tensor(identities).repeat_interleave(counts).to(colors.device)  # [G]
    features = torch.cat([colors, F.one_hot(owners, num_identities)], dim=-1)  # [G, 3 + P]
    image, alpha = rasterize(
        projection.means2d, projection.conics, opacities, features, projection.depths, viewport.size
    )
    return RenderedImage(image[..., :3], image[..., 3:], alpha)


def render_avatars(
    avatars: AvatarSet, gaussians: Mapping[int, LocalGaussians], vertices: Tensor, viewport: Viewport
) -> RenderedImage:
    """The people of `gaussians` (by index, at least one) on vertices [P, V, 3], meters, camera frame."""
    people = [
        PosedPerson(pose_gaussians(avatars.surface, vertices[person], one), one) for person, one in gaussians.items()
    ]
    return render_people(people, viewport, list(gaussians), len(avatars.avatars))
