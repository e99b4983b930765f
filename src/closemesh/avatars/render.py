"""Gaussians bound to a posed surface, drawn together.

Gaussians on a moving body: each sits in the frame of the triangle of skin that carries it.

Everybody of a frame drawn at once, so that the nearer hides the farther.
"""

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
    """Gaussians in the frame of the vertices that carry them."""

    means: Tensor  # [..., G, 3] metres
    rotations: Tensor  # [..., G, 3, 3] their axes as columns
    scales: Tensor  # [G, 3] standard deviations along the axes, metres


class SurfaceFrames(NamedTuple):
    """Points of the skin and axes there; the numbers of all Gaussians lie side by side, which is faster."""

    points: Tensor  # [..., 3, G] metres
    axes: Tensor  # [..., 3, 3, G] three unit vectors: along growing u, across, outward


def pose_gaussians(surface: UVSurface, vertices: Tensor, gaussians: LocalGaussians) -> PosedGaussians:
    """The Gaussians of one person on his posed skin, vertices [..., V, 3] metres; differentiable in both."""
    frames = surface_frames(surface, vertices)
    means = frames.points + _mixed(frames.axes, gaussians.offsets.T)  # [..., 3, G]
    turns = quaternion_to_matrix(gaussians.rotations).permute(2, 1, 0)  # [3, 3, G] their axes one after the other
    rotations = torch.stack([_mixed(frames.axes, axis) for axis in turns.unbind(0)], dim=-1)  # [..., 3, G, 3]
    return PosedGaussians(means.mT, rotations.transpose(-3, -2), gaussians.scales)


def surface_frames(surface: UVSurface, vertices: Tensor) -> SurfaceFrames:
    """Points and axes where the Gaussians sit on vertices [..., V, 3]."""
    corners = vertices.index_select(-2, surface.corners.T.flatten())
    a, b, c = corners.unflatten(-2, (3, -1)).mT.contiguous().unbind(-3)  # [..., 3, G] each
    first, second, third = surface.barycentric.T.contiguous().unbind(0)  # [G] each
    edge, other = b - a, c - a
    along = _unit(surface.tangents[:, 0] * edge + surface.tangents[:, 1] * other)
    outward = _unit(torch.linalg.cross(edge, other, dim=-2))
    axes = torch.stack([along, torch.linalg.cross(outward, along, dim=-2), outward], dim=-3)
    return SurfaceFrames(first * a + second * b + third * c, axes)


def _unit(vectors: Tensor) -> Tensor:
    """Vectors [..., 3, G] of length 1; torch's own norm takes twenty times as long along this dimension."""
    return vectors * vectors.square().sum(-2, keepdim=True).clamp(min=1e-24).rsqrt()


def _mixed(axes: Tensor, shares: Tensor) -> Tensor:
    """Vectors [..., 3, G] of axes [..., 3, 3, G] times shares [3, G]."""
    along, across, outward = axes.unbind(-3)
    return shares[0] * along + shares[1] * across + shares[2] * outward


class Viewport(NamedTuple):
    """A pinhole camera whose picture is a part of a frame, enlarged or reduced."""

    focal: float  # pixels of the picture
    centre: tuple[float, float]  # principal point, pixels of the picture
    size: tuple[int, int]  # height and width


class RenderedImage(NamedTuple):
    """A picture of Gaussians over nothing."""

    image: Tensor  # [H, W, 3] premultiplied with alpha
    identity: Tensor  # [H, W, P] share of each person in the pixel
    alpha: Tensor  # [H, W] their sum

    def over(self, background: Tensor | float) -> Tensor:
        """The picture [H, W, 3] over a background of this colour ([3] or one grey)."""
        return self.image + (1 - self.alpha)[..., None] * background


class Person(NamedTuple):
    """One person's Gaussians where they are, and how they look."""

    placed: PosedGaussians  # [G, ...]
    looks: LocalGaussians  # [G, ...]


def render_people(
    people: Sequence[Person], view: Viewport, identities: Sequence[int], num_identities: int
) -> RenderedImage:
    """All people in one picture, differentiable in where they are and how they look.

    Their Gaussians in the camera frame; `identities` says which of `num_identities` channels each person has.
    """
    placed, looks = zip(*people, strict=True)
    means, rotations, scales = (torch.cat(parts) for parts in zip(*placed, strict=True))
    projection = project_gaussians(means, rotations, scales, view.focal, view.centre, view.size)
    colours, opacities = (torch.cat(parts) for parts in ([x.colours for x in looks], [x.opacities for x in looks]))
    counts = torch.tensor([len(one.opacities) for one in looks])
    owners = torch.tensor(identities).repeat_interleave(counts).to(colours.device)  # [G]
    features = torch.cat([colours, F.one_hot(owners, num_identities)], dim=-1)  # [G, 3 + P]
    image, alpha = rasterize(projection.means2d, projection.conics, opacities, features, projection.depths, view.size)
    return RenderedImage(image[..., :3], image[..., 3:], alpha)


def render_avatars(
    cast: AvatarSet, looks: Mapping[int, LocalGaussians], vertices: Tensor, view: Viewport
) -> RenderedImage:
    """The people of `looks`, at least one, on bodies of vertices [P, V, 3], metres, camera frame."""
    people = [Person(pose_gaussians(cast.surface, vertices[person], one), one) for person, one in looks.items()]
    return render_people(people, view, list(looks), len(cast.avatars))
