"""How people look, learned from frames in which their motion is known."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from closemesh.appearance.avatar import AvatarConfig
from closemesh.appearance.cast import Cast, make_cast, posed_skin
from closemesh.appearance.draw import draw_looks
from closemesh.appearance.objective import LookWeights, as_seen, look_loss, skin_loss
from closemesh.appearance.pictures import Picture
from closemesh.body.model import BodyModel
from closemesh.energy.perceptual import Perceptual
from closemesh.progress import Advance
from closemesh.scene import BodyMotion

BACKGROUNDS = (0.0, 1.0)  # Black and white by turns: neither a dark nor a light dress can hide as transparency.
_LATENT_EPSILON = 1e-5  # Of the order of gradients where skin is seen: Adam would blow up the traces elsewhere.
_FINAL_RATE = 0.1  # Of the first one, after the cosine decay.


@dataclass(frozen=True)
class LearnConfig:
    """How looks are learned."""

    steps: int = 300
    """One picture each."""
    latent_rate: float = 0.05
    network_rate: float = 6e-3
    avatar: AvatarConfig = field(default_factory=AvatarConfig)
    weights: LookWeights = field(default_factory=LookWeights)


def learn_looks(
    pictures: Sequence[Picture],
    motion: BodyMotion,
    body: BodyModel,
    config: LearnConfig,
    seed: int,
    device: torch.device,
    advance: Advance,
    eye: Perceptual | None = None,
) -> Cast:
    """Avatars of everybody, learned with the motion (camera frame) as it is; the same seed gives the same avatars.

    Raises ModelFileError when the body has no texture map.
    """
    cast = make_cast(body, motion.num_people, config.avatar, seed, device)
    shown = [picture for picture in pictures if motion.valid[picture.frame].any()]
    if not shown or config.steps == 0:
        return cast
    vertices = posed_skin(cast, motion, [picture.frame for picture in shown])  # [N, P, V, 3]
    optimiser = look_optimiser(cast, config)
    decay = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step / config.steps))
    for step, number in enumerate(shuffled(len(shown), config.steps, seed)):
        present = motion.valid[shown[number].frame].tolist()
        optimiser.zero_grad(set_to_none=True)
        background = BACKGROUNDS[step % len(BACKGROUNDS)]
        picture_loss(cast, vertices[number], present, shown[number], background, config.weights, eye).backward()
        optimiser.step()
        decay.step()
        advance(1)
    return cast


def picture_loss(
    cast: Cast,
    vertices: Tensor,
    present: Sequence[bool],
    picture: Picture,
    background: float,
    weights: LookWeights,
    eye: Perceptual | None = None,
) -> Tensor:
    """The whole appearance loss of one picture, differentiable in the cast and in vertices [P, V, 3] (camera frame)."""
    looks = cast.looks(present)
    drawn = draw_looks(cast, looks, vertices, picture.view)
    seen = as_seen(picture, len(cast.avatars), vertices.device)
    skins = [skin_loss(cast.avatars[person], one, weights) for person, one in looks.items()]
    return look_loss(drawn, seen, background, weights, eye) + torch.stack(skins).mean()


def look_optimiser(cast: Cast, config: LearnConfig) -> torch.optim.Adam:
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
