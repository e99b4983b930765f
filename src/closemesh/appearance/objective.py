"""What a drawn picture costs beside the seen one: the appearance terms of CloseApp Eq. 6 and 9."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from closemesh.appearance.avatar import Avatar, SkinGaussians
from closemesh.appearance.draw import Drawn
from closemesh.appearance.pictures import UNKNOWN, Picture
from closemesh.energy.gaussians import offset_from_skin, stretch
from closemesh.energy.perceptual import Perceptual
from closemesh.energy.pictures import absolute_difference, dissimilarity


@dataclass(frozen=True)
class LookWeights:
    """How much each term counts, for each pixel of the people."""

    colour: float = 0.8
    structure: float = 0.2
    perceptual: float = 0.2
    identity: float = 0.3
    offset: float = 300.0
    """For each square metre: 2 cm off the skin cost as much as a colour wrong by 0.15. Gaussians that hover at other
    heights than their neighbours hide one another from here and show through from there."""
    stretch: float = 0.2


class Seen(NamedTuple):
    """A picture as tensors."""

    image: Tensor  # [S, S, 3] 0..1
    people: Tensor  # [S, S, P] 1 where a person is labelled
    known: Tensor  # [S, S] 0 outside of the frame
    trust: Tensor  # [S, S] 0..1, of who is who

    @property
    def union(self) -> Tensor:
        """[S, S] 1 where anybody is labelled."""
        return self.people.sum(-1)


def as_seen(picture: Picture, num_people: int, device: torch.device) -> Seen:
    """The picture on the device."""
    labels = torch.as_tensor(picture.labels, device=device)
    people = labels[..., None] == torch.arange(1, num_people + 1, device=device)
    image = torch.as_tensor(picture.image, device=device).float() / 255
    trust = torch.as_tensor(picture.trust, device=device).float() / 255
    return Seen(image, people.float(), (labels != UNKNOWN).float(), trust)


def look_loss(
    drawn: Drawn, seen: Seen, background: float, weights: LookWeights, eye: Perceptual | None = None
) -> Tensor:
    """Colour, structure and identity of a drawn picture against the seen one, a mean over the people's pixels.

    Only what lies within the union of all people's masks is compared; around it both show `background`. The identity
    term tells silhouettes and who is in front apart from colour, which the paper's union mask cannot. Without an eye
    the perceptual term is left out.
    """
    union, known = seen.union[..., None], seen.known[..., None]
    picture = drawn.over(background) * known
    target = (seen.image * union + (1 - union) * background) * known
    count = union.sum().clamp(min=1)
    loss = picture.new_zeros(())
    if weights.colour > 0:
        loss = loss + weights.colour * (absolute_difference(picture, target).sum() / (3 * count))
    if weights.structure > 0:
        loss = loss + weights.structure * (dissimilarity(picture, target).sum() / (3 * count))
    if weights.identity > 0:
        differs = absolute_difference(drawn.identity, seen.people) * known * seen.trust[..., None]
        loss = loss + weights.identity * (differs.sum() / count)
    if eye is not None and weights.perceptual > 0:
        loss = loss + weights.perceptual * eye(picture, target) * seen.known.numel() / count
    return loss


def skin_loss(avatar: Avatar, looks: SkinGaussians, weights: LookWeights) -> Tensor:
    """What keeps one person's Gaussians near his skin and of its grain, a mean over them."""
    offset = offset_from_skin(looks.offsets).mean()
    return weights.offset * offset + weights.stretch * stretch(looks.scales, avatar.fresh_scales).mean()
