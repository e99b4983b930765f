"""Latent UV map, U-Net decoder, AvatarSet.

A small U-Net over maps of one person's skin.

How one person looks: a latent map over the skin, and the network that decodes it to Gaussians (CloseApp 2025).

The people of a clip: their avatars, and the body whose skin carries the Gaussians.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from closemesh.avatars.surface import UVSurface, sample_surface, surface_body, uv_map_side
from closemesh.body.model import BodyModel
from closemesh.body.skinning import skin
from closemesh.structures import BodyMotion

_SLOPE = 0.1  # Of the rectifiers below zero.


class UNet(nn.Module):
    """Latent maps [1, C, S, S], S a multiple of 8, to D numbers for each wanted texel; the last layer begins at zero.

    At full resolution it works texel by texel, and only where the map lies on the skin: convolutions there would cost
    more than all others, and two people are decoded in every step of a fit, on two cores.
    """

    def __init__(self, channels: int, width: int, outputs: int) -> None:
        super().__init__()
        widths = (channels, width, 2 * width, 2 * width)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths))
        # What comes from below is narrowed before it is enlarged, where that costs a quarter.
        pairs = list(pairwise(widths[1:]))
        self.narrow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairs)
        self.up = nn.ModuleList(nn.Conv2d(2 * a, a, 3, padding=1) for a, _ in pairs)
        self.hidden = nn.Linear(channels + width, 2 * width)
        self.head = nn.Linear(2 * width, outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, latent: Tensor, texels: Tensor, texels_below: Tensor) -> Tensor:
        """[G, D] of the texels [G] of the flattened map; texels_below [G] are theirs in a map of half the side."""
        half = self._half(latent)
        own = latent[0].flatten(1).index_select(1, texels)  # [C, G]
        below = half[0].flatten(1).index_select(1, texels_below)
        return self.head(F.leaky_relu(self.hidden(torch.cat([own, below]).T), _SLOPE))

    def _half(self, latent: Tensor) -> Tensor:
        """Features [1, W, S / 2, S / 2]."""
        levels, x = [], latent
        for down in self.down:
            x = F.leaky_relu(down(x), _SLOPE)
            levels.append(x)
        x = levels.pop()
        for level, narrow, up in zip(reversed(levels), reversed(self.narrow), reversed(self.up), strict=True):
            enlarged = F.interpolate(narrow(x), scale_factor=2, mode="nearest")
            x = F.leaky_relu(up(torch.cat([level, enlarged], dim=1)), _SLOPE)
        return x


CHANNELS = {"offset": 3, "colour": 3, "opacity": 1, "rotation": 4, "scale": 3}
"""What each texel says: 14 numbers."""

OFFSET_UNIT = 0.02  # Metres for each unit that the network gives, as in CloseApp's code.
THICKNESS = 0.001  # Metres, a fresh Gaussian's deviation across the skin.
OVERLAP = 0.5  # Deviation of a fresh Gaussian along the skin in texels: less shows gaps, more fattens limbs.
OPACITY = 2.2  # Of a fresh Gaussian before the sigmoid: 0.95 with the next line.
LEAST_OPACITY = 0.5  # Skin is not transparent: where the given motion is wrong a limb may blur, but not vanish.
LATENT_SPREAD = 0.02  # So small that skin which is never seen takes after the rest, not after noise.
STRETCH = 1.2  # Logarithm of how much larger or smaller than when fresh a Gaussian can become.


@dataclass(frozen=True)
class AvatarConfig:
    """Size of an avatar."""

    gaussians: int = 10_000
    """About as many for each person."""
    latents: int = 12
    """Channels of the latent map."""
    width: int = 16
    """Channels of the network where its maps have half the side."""


class LocalGaussians(NamedTuple):
    """Gaussians in the frames of the skin: along u, across, outward. The same in every frame of a clip."""

    offsets: Tensor  # [G, 3] metres from the skin
    colours: Tensor  # [G, 3] 0..1
    opacities: Tensor  # [G] 0..1
    rotations: Tensor  # [G, 4] quaternions (w, x, y, z) of any length
    scales: Tensor  # [G, 3] standard deviations, metres


class Avatar(nn.Module):
    """One person in one clip; nothing is shared with another person's.

    The paper names 14 channels of "offset, colour, opacity, rotation, scale, identity" and not how they are split; here
    the first five take all 14. The identity of a Gaussian needs no map: it is whose avatar it belongs to,
    and is drawn as a one-hot feature. A fresh avatar is a thin grey opaque skin.
    """

    texels: Tensor  # [G] places in the map
    texels_below: Tensor  # [G] the same in a map of half the side
    fresh_scales: Tensor  # [G, 3]
    fresh_rotations: Tensor  # [G, 4]

    def __init__(self, surface: UVSurface, config: AvatarConfig, generator: torch.Generator) -> None:
        super().__init__()
        noise = torch.randn(1, config.latents, surface.side, surface.side, generator=generator)
        self.latent = nn.Parameter(LATENT_SPREAD * noise)
        with torch.random.fork_rng(devices=()):  # Layers draw their first weights from the generator of all.
            torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
            self.network = UNet(config.latents, config.width, sum(CHANNELS.values()))
        below = surface.rows // 2 * (surface.side // 2) + surface.columns // 2
        known = {"texels": surface.texels, "texels_below": below}
        known |= {"fresh_scales": initial_scales(surface), "fresh_rotations": fresh_rotations(surface)}
        for name, tensor in known.items():
            self.register_buffer(name, tensor, persistent=False)

    def forward(self) -> LocalGaussians:
        """The Gaussians of the texels that lie on the skin."""
        maps = self.network(self.latent, self.texels, self.texels_below)  # [G, 14]
        offset, colour, opacity, rotation, scale = maps.split(tuple(CHANNELS.values()), dim=-1)
        return LocalGaussians(
            offsets=OFFSET_UNIT * offset,
            colours=torch.sigmoid(colour),
            opacities=LEAST_OPACITY + (1 - LEAST_OPACITY) * torch.sigmoid(opacity[:, 0] + OPACITY),
            rotations=self.fresh_rotations + rotation,
            scales=self.fresh_scales * torch.exp(STRETCH * F.softsign(scale)),
        )


def initial_scales(surface: UVSurface) -> Tensor:
    """Standard deviations [G, 3] in metres of a fresh avatar's Gaussians: they cover the skin and hug it."""
    return torch.cat([OVERLAP * surface.sizes, torch.full_like(surface.sizes[:, :1], THICKNESS)], dim=-1)


def fresh_rotations(surface: UVSurface) -> Tensor:
    """Quaternions [G, 4] that turn a fresh avatar's Gaussians along the longest extent of their texels."""
    half, zero = surface.turns / 2, torch.zeros_like(surface.turns)
    return torch.stack([half.cos(), zero, zero, half.sin()], dim=-1)


@dataclass(frozen=True)
class AvatarSet:
    """Avatars and what they stand on."""

    body: BodyModel
    """Carries the Gaussians; its betas are those of the motion's body."""
    surface: UVSurface
    avatars: tuple[Avatar, ...]
    """[P] one for each person of the clip."""

    def gaussians(self, present: Sequence[bool]) -> dict[int, LocalGaussians]:
        """The Gaussians of those who are present [P], by the person's number."""
        return {person: avatar() for person, avatar in enumerate(self.avatars) if present[person]}


def create_avatars(
    body: BodyModel, num_people: int, config: AvatarConfig, seed: int, device: torch.device
) -> AvatarSet:
    """Fresh avatars for people of `body`. Raises ModelFileError when the body has no texture map."""
    carrying = surface_body(body)
    surface = sample_surface(carrying, uv_map_side(carrying, config.gaussians))
    generator = torch.Generator().manual_seed(seed)
    avatars = tuple(Avatar(surface, config, generator).to(device) for _ in range(num_people))
    return AvatarSet(carrying.to(device), surface.to(device), avatars)


def posed_vertices(cast: AvatarSet, motion: BodyMotion, frames: Sequence[int]) -> Tensor:
    """Vertices [N, P, V, 3] of the carrying bodies in these frames, metres, in the frame of the motion."""
    chosen = np.asarray(frames, np.int64)
    arrays = (motion.betas, motion.rotations[chosen], motion.transl[chosen], motion.expression[chosen])
    with torch.no_grad():
        return skin(cast.body, *(torch.as_tensor(array).to(cast.body.v_template) for array in arrays))[0]
