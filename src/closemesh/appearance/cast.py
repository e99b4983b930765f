"""The people of a clip: their avatars, and the body whose skin carries the Gaussians."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from closemesh.appearance.avatar import Avatar, AvatarConfig, SkinGaussians
from closemesh.appearance.surface import Surface, carrier, map_side, sample_surface
from closemesh.body.model import BodyModel
from closemesh.body.skinning import skin
from closemesh.scene import BodyMotion


@dataclass(frozen=True)
class Cast:
    """Avatars and what they stand on."""

    body: BodyModel
    """Carries the Gaussians; its betas are those of the motion's body."""
    surface: Surface
    avatars: tuple[Avatar, ...]
    """[P] one for each person of the clip."""

    def looks(self, present: Sequence[bool]) -> dict[int, SkinGaussians]:
        """The Gaussians of those who are present [P], by the person's number."""
        return {person: avatar() for person, avatar in enumerate(self.avatars) if present[person]}


def make_cast(body: BodyModel, num_people: int, config: AvatarConfig, seed: int, device: torch.device) -> Cast:
    """Fresh avatars for people of `body`. Raises ModelFileError when the body has no texture map."""
    carrying = carrier(body)
    surface = sample_surface(carrying, map_side(carrying, config.gaussians))
    generator = torch.Generator().manual_seed(seed)
    avatars = tuple(Avatar(surface, config, generator).to(device) for _ in range(num_people))
    return Cast(carrying.to(device), surface.to(device), avatars)


def posed_skin(cast: Cast, motion: BodyMotion, frames: Sequence[int]) -> Tensor:
    """Vertices [N, P, V, 3] of the carrying bodies in these frames, metres, in the frame of the motion."""
    chosen = np.asarray(frames, np.int64)
    arrays = (motion.betas, motion.rotations[chosen], motion.transl[chosen], motion.expression[chosen])
    with torch.no_grad():
        return skin(cast.body, *(torch.as_tensor(array).to(cast.body.v_template) for array in arrays))[0]
