"""Avatars: a latent UV map per person, decoded by a U-Net to Gaussians on the body surface (CloseApp 2025)."""

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

_SLOPE = 0.1  # Slope of the leaky ReLUs.


class UNet(nn.Module):
    """U-Net from latent maps [1, C, S, S], S a multiple of 8, to D values per texel; the last layer starts at zero.

    At full resolution it is a per-texel MLP on texels of the skin only: convolutions there would cost more than all
    others together.
    """

    def __init__(self, channels: int, width: int, outputs: int) -> None:
        super().__init__()
        widths = (channels, width, 2 * width, 2 * width)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths))
        # Channels are reduced before upsampling, where it costs a quarter.
        pairs = list(pairwise(widths[1:]))
        self.narrow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairs)
        self.up = nn.ModuleList(nn.Conv2d(2 * a, a, 3, padding=1) for a, _ in pairs)
        self.hidden = nn.Linear(channels + width, 2 * width)
        self.head = nn.Linear(2 * width, outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, latent: Tensor, texels: Tensor, texels_below: Tensor) -> Tensor:
        """Values [G, D] of the texels.

        latent [1, C, S, S]; texels [G] index the flattened map, texels_below [G] the flattened map of half the side.
        """
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


CHANNELS = {"offset": 3, "color": 3, "opacity": 1, "rotation": 4, "scale": 3}
"""The 14 values of each texel."""

OFFSET_UNIT = 0.06  # Meters per unit of the network's output: hair and clothes lie outside of the body.
THICKNESS = 0.001  # Meters, initial standard deviation along the normal.
OVERLAP = 0.5  # Texels, initial standard deviation along the skin: less leaves holes, more thickens limbs.
OPACITY = 2.2  # Initial value before the sigmoid: an opacity of 0.95 with MIN_OPACITY.
MIN_OPACITY = 0.5  # Skin is opaque: where the motion is wrong a limb may blur, but not vanish.
LATENT_STD = 0.02  # Small, so that invisible skin gets the common color and not noise.
MAX_LOG_SCALE = 1.2  # Largest logarithm of the ratio to the initial scale.


@dataclass(frozen=True)
class AvatarConfig:
    """Size of an avatar."""

    num_gaussians: int = 10_000
    """Approximate number per person."""
    latent_channels: int = 12
    """Channels of the latent map."""
    hidden_channels: int = 16
    """Channels of the network at half the side of the map."""


class LocalGaussians(NamedTuple):
    """Gaussians in the tangent frames of the surface (u, bitangent, normal), the same in every frame of a clip."""

    offsets: Tensor  # [G, 3] meters from the surface
    colors: Tensor  # [G, 3] 0..1
    opacities: Tensor  # [G] 0..1
    rotations: Tensor  # [G, 4] quaternions (w, x, y, z) of any length
    scales: Tensor  # [G, 3] standard deviations, meters


class Avatar(nn.Module):
    """Avatar of one person in one clip, without parameters in common with another person.

    The paper lists 14 channels of offset, color, opacity, rotation, scale and identity, but not their sizes. Here the
    first five use all 14. Identity needs no map: it is rendered as a one-hot feature of the person. An initial avatar
    is a thin, gray, opaque skin.
    """

    texels: Tensor  # [G] indices into the flattened map
    texels_below: Tensor  # [G] the same in a map of half the side
    initial_scales: Tensor  # [G, 3]
    initial_rotations: Tensor  # [G, 4]
    initial_colors: Tensor  # [G, 3] before the sigmoid: gray, until `color_from_views`

    def __init__(self, surface: UVSurface, config: AvatarConfig, generator: torch.Generator) -> None:
        super().__init__()
        noise = torch.randn(1, config.latent_channels, surface.side, surface.side, generator=generator)
        self.latent = nn.Parameter(LATENT_STD * noise)
        with torch.random.fork_rng(devices=()):  # Layers use the global generator.
            torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
            self.network = UNet(config.latent_channels, config.hidden_channels, sum(CHANNELS.values()))
        below = surface.rows // 2 * (surface.side // 2) + surface.columns // 2
        buffers = {"texels": surface.texels, "texels_below": below}
        buffers |= {"initial_colors": torch.zeros(len(surface), 3)}
        buffers |= {"initial_scales": initial_scales(surface), "initial_rotations": initial_rotations(surface)}
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor, persistent=False)

    def forward(self) -> LocalGaussians:
        """The Gaussians of all texels on the skin."""
        maps = self.network(self.latent, self.texels, self.texels_below)  # [G, 14]
        offset, color, opacity, rotation, scale = maps.split(tuple(CHANNELS.values()), dim=-1)
        return LocalGaussians(
            offsets=OFFSET_UNIT * offset,
            colors=torch.sigmoid(self.initial_colors + color),
            opacities=MIN_OPACITY + (1 - MIN_OPACITY) * torch.sigmoid(opacity[:, 0] + OPACITY),
            rotations=self.initial_rotations + rotation,
            scales=self.initial_scales * torch.exp(MAX_LOG_SCALE * F.softsign(scale)),
        )


def initial_scales(surface: UVSurface) -> Tensor:
    """Initial standard deviations [G, 3] in meters: they just cover the skin."""
    return torch.cat([OVERLAP * surface.sizes, torch.full_like(surface.sizes[:, :1], THICKNESS)], dim=-1)


def initial_rotations(surface: UVSurface) -> Tensor:
    """Initial quaternions [G, 4]: along the longest extent of each texel."""
    half, zero = surface.turns / 2, torch.zeros_like(surface.turns)
    return torch.stack([half.cos(), zero, zero, half.sin()], dim=-1)


@dataclass(frozen=True)
class AvatarSet:
    """The avatars of all people of a clip and the surface that the Gaussians are bound to."""

    body: BodyModel
    """Body of the surface, with the same betas as the body of the motion."""
    surface: UVSurface
    avatars: tuple[Avatar, ...]
    """[P] one for each person of the clip."""

    def gaussians(self, present: Sequence[bool]) -> dict[int, LocalGaussians]:
        """The Gaussians of the people who are present [P], by index."""
        return {person: avatar() for person, avatar in enumerate(self.avatars) if present[person]}


def create_avatars(
    body: BodyModel, num_people: int, config: AvatarConfig, seed: int, device: torch.device
) -> AvatarSet:
    """Initial avatars for people of `body`. Raises ModelFileError when the body has no UV map."""
    mesh = surface_body(body)
    surface = sample_surface(mesh, uv_map_side(mesh, config.num_gaussians))
    generator = torch.Generator().manual_seed(seed)
    avatars = tuple(Avatar(surface, config, generator).to(device) for _ in range(num_people))
    return AvatarSet(mesh.to(device), surface.to(device), avatars)


def posed_vertices(avatars: AvatarSet, motion: BodyMotion, frames: Sequence[int]) -> Tensor:
    """Vertices [N, P, V, 3] of the avatars' bodies in N frames, meters, in the frame of the motion."""
    chosen = np.asarray(frames, np.int64)
    like = avatars.body.v_template
    with torch.no_grad():
        vertices, _ = skin(
            avatars.body,
            betas=torch.as_tensor(motion.betas).to(like),
            rotations=torch.as_tensor(motion.rotations[chosen]).to(like),
            transl=torch.as_tensor(motion.transl[chosen]).to(like),
            expression=torch.as_tensor(motion.expression[chosen]).to(like),
        )
    return vertices
