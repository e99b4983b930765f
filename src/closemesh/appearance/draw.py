"""Everybody of a frame drawn at once, so that the nearer hides the farther."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.appearance.avatar import SkinGaussians
from closemesh.appearance.binding import PlacedGaussians, place_gaussians
from closemesh.appearance.cast import Cast
from closemesh.appearance.rasterise.gaussians import rasterise
from closemesh.appearance.rasterise.projection import project_gaussians


class View(NamedTuple):
    """A pinhole camera whose picture is a part of a frame, enlarged or reduced."""

    focal: float  # pixels of the picture
    centre: tuple[float, float]  # principal point, pixels of the picture
    size: tuple[int, int]  # height and width


class Drawn(NamedTuple):
    """A picture of Gaussians over nothing."""

    image: Tensor  # [H, W, 3] premultiplied with alpha
    identity: Tensor  # [H, W, P] share of each person in the pixel
    alpha: Tensor  # [H, W] their sum

    def over(self, background: Tensor | float) -> Tensor:
        """The picture [H, W, 3] over a background of this colour ([3] or one grey)."""
        return self.image + (1 - self.alpha)[..., None] * background


class Person(NamedTuple):
    """One person's Gaussians where they are, and how they look."""

    placed: PlacedGaussians  # [G, ...]
    looks: SkinGaussians  # [G, ...]


def draw_people(people: Sequence[Person], view: View, identities: Sequence[int], num_identities: int) -> Drawn:
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
    image, alpha = rasterise(projection.means2d, projection.conics, opacities, features, projection.depths, view.size)
    return Drawn(image[..., :3], image[..., 3:], alpha)


def draw_looks(cast: Cast, looks: Mapping[int, SkinGaussians], vertices: Tensor, view: View) -> Drawn:
    """The people of `looks`, at least one, on bodies of vertices [P, V, 3], metres, camera frame."""
    people = [Person(place_gaussians(cast.surface, vertices[person], one), one) for person, one in looks.items()]
    return draw_people(people, view, list(looks), len(cast.avatars))
