"""Fit avatars, photometric and regularization losses, PSNR.

What keeps Gaussians near the skin that carries them, and of its grain.

What a drawn picture costs beside the seen one: the appearance terms of CloseApp Eq. 6 and 9.

How people look, learned from frames in which their motion is known.

How like the seen pictures the drawn ones are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from closemesh.avatars.model import Avatar, AvatarConfig, AvatarSet, LocalGaussians, create_avatars, posed_vertices
from closemesh.avatars.render import RenderedImage, render_avatars
from closemesh.avatars.views import UNKNOWN, TrainingView
from closemesh.body.model import BodyModel
from closemesh.core.progress import Advance
from closemesh.losses.image import LPIPS, dssim, l1
from closemesh.structures import BodyMotion


def offset_penalty(offsets: Tensor) -> Tensor:
    """Squared distance [...] in m^2 of offsets [..., 3] (L_offset of CloseApp Eq. 9)."""
    return offsets.square().sum(-1)


def scale_penalty(scales: Tensor, fresh: Tensor) -> Tensor:
    """Squared logarithm [...] of how far scales [..., 3] are from what just covers the skin (L_scale of Eq. 9).

    A mean of the scales, as in CloseApp's code, would open holes where nothing was seen.
    """
    return (scales / fresh).log().square().sum(-1)


@dataclass(frozen=True)
class PhotometricWeights:
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


def target_image(picture: TrainingView, num_people: int, device: torch.device) -> Seen:
    """The picture on the device."""
    labels = torch.as_tensor(picture.labels, device=device)
    people = labels[..., None] == torch.arange(1, num_people + 1, device=device)
    image = torch.as_tensor(picture.image, device=device).float() / 255
    trust = torch.as_tensor(picture.confidence, device=device).float() / 255
    return Seen(image, people.float(), (labels != UNKNOWN).float(), trust)


def photometric_loss(
    drawn: RenderedImage, seen: Seen, background: float, weights: PhotometricWeights, eye: LPIPS | None = None
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
        loss = loss + weights.colour * (l1(picture, target).sum() / (3 * count))
    if weights.structure > 0:
        loss = loss + weights.structure * (dssim(picture, target).sum() / (3 * count))
    if weights.identity > 0:
        differs = l1(drawn.identity, seen.people) * known * seen.trust[..., None]
        loss = loss + weights.identity * (differs.sum() / count)
    if eye is not None and weights.perceptual > 0:
        loss = loss + weights.perceptual * eye(picture, target) * seen.known.numel() / count
    return loss


def gaussian_regularization(avatar: Avatar, looks: LocalGaussians, weights: PhotometricWeights) -> Tensor:
    """What keeps one person's Gaussians near his skin and of its grain, a mean over them."""
    offset = offset_penalty(looks.offsets).mean()
    return weights.offset * offset + weights.stretch * scale_penalty(looks.scales, avatar.fresh_scales).mean()


BACKGROUNDS = (0.0, 1.0)  # Black and white by turns: neither a dark nor a light dress can hide as transparency.
_LATENT_EPSILON = 1e-5  # Of the order of gradients where skin is seen: Adam would blow up the traces elsewhere.
_FINAL_RATE = 0.1  # Of the first one, after the cosine decay.


@dataclass(frozen=True)
class AvatarFitConfig:
    """How looks are learned."""

    steps: int = 300
    """One picture each."""
    latent_rate: float = 0.05
    network_rate: float = 6e-3
    avatar: AvatarConfig = field(default_factory=AvatarConfig)
    weights: PhotometricWeights = field(default_factory=PhotometricWeights)


def fit_avatars(
    pictures: Sequence[TrainingView],
    motion: BodyMotion,
    body: BodyModel,
    config: AvatarFitConfig,
    seed: int,
    device: torch.device,
    advance: Advance,
    eye: LPIPS | None = None,
) -> AvatarSet:
    """Avatars of everybody, learned with the motion (camera frame) as it is; the same seed gives the same avatars.

    Raises ModelFileError when the body has no texture map.
    """
    cast = create_avatars(body, motion.num_people, config.avatar, seed, device)
    shown = [picture for picture in pictures if motion.valid[picture.frame].any()]
    if not shown or config.steps == 0:
        return cast
    vertices = posed_vertices(cast, motion, [picture.frame for picture in shown])  # [N, P, V, 3]
    optimiser = avatar_optimizer(cast, config)
    decay = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step / config.steps))
    for step, number in enumerate(shuffled(len(shown), config.steps, seed)):
        present = motion.valid[shown[number].frame].tolist()
        optimiser.zero_grad(set_to_none=True)
        background = BACKGROUNDS[step % len(BACKGROUNDS)]
        view_loss(cast, vertices[number], present, shown[number], background, config.weights, eye).backward()
        optimiser.step()
        decay.step()
        advance(1)
    return cast


def view_loss(
    cast: AvatarSet,
    vertices: Tensor,
    present: Sequence[bool],
    picture: TrainingView,
    background: float,
    weights: PhotometricWeights,
    eye: LPIPS | None = None,
) -> Tensor:
    """The whole appearance loss of one picture, differentiable in the cast and in vertices [P, V, 3] (camera frame)."""
    looks = cast.gaussians(present)
    drawn = render_avatars(cast, looks, vertices, picture.view)
    seen = target_image(picture, len(cast.avatars), vertices.device)
    skins = [gaussian_regularization(cast.avatars[person], one, weights) for person, one in looks.items()]
    return photometric_loss(drawn, seen, background, weights, eye) + torch.stack(skins).mean()


def avatar_optimizer(cast: AvatarSet, config: AvatarFitConfig) -> torch.optim.Adam:
    """Adam on latents and networks."""
    latents = [avatar.latent for avatar in cast.avatars]
    networks = [parameter for avatar in cast.avatars for parameter in avatar.network.parameters()]
    groups = [
        {"params": latents, "lr": config.latent_rate, "eps": _LATENT_EPSILON},
        {"params": networks, "lr": config.network_rate},
    ]
    return torch.optim.Adam(groups)


def _rate(progress: float) -> float:
    """Of the first one; cosine."""
    return _FINAL_RATE + (1 - _FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def shuffled(count: int, steps: int, seed: int) -> Iterator[int]:
    """`steps` numbers below `count`: all of them in random order, and again."""
    generator = torch.Generator().manual_seed(seed)
    order: list[int] = []
    for _ in range(steps):
        order = order or torch.randperm(count, generator=generator).tolist()
        yield order.pop()


def masked_psnr(drawn: RenderedImage, seen: Seen) -> Tensor:
    """Peak signal-to-noise ratio in dB within the union of the people's masks; where nothing is drawn black shows."""
    union = seen.union
    squared = (drawn.over(0.0) - seen.image).square().mean(-1) * union
    return -10 * torch.log10(squared.sum() / union.sum().clamp(min=1))


@torch.no_grad()
def mean_psnr(cast: AvatarSet, motion: BodyMotion, pictures: Sequence[TrainingView]) -> float:
    """PSNR in dB within the people, a mean over pictures of the motion (camera frame); nan without any."""
    device = cast.body.v_template.device
    vertices = posed_vertices(cast, motion, [picture.frame for picture in pictures])
    found = []
    for posed, picture in zip(vertices, pictures, strict=True):
        looks = cast.gaussians(motion.valid[picture.frame].tolist())
        if looks:
            drawn = render_avatars(cast, looks, posed, picture.view)
            found.append(masked_psnr(drawn, target_image(picture, len(cast.avatars), device)))
    return float(torch.stack(found).mean()) if found else float("nan")
