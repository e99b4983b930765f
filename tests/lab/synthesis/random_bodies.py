"""Bodies in random poses, as tests need them."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from closemesh.body.loading import load_bundled_body
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.lab.synthesis.posed_bodies import BodyShapes, PosedBodies, PoseVariables, hand_shapes, shape_bodies

BODY = load_bundled_body("light")


def bodies(count: int, scale: float = 0.2, seed: int = 0) -> tuple[BodyShapes, PoseVariables]:
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return scale * torch.randn(count, *shape, generator=generator)

    hands = hand_shapes(BODY, [("grip", "fist")]).expand(count, -1, -1)
    shapes = shape_bodies(BODY, noise(BODY.num_betas), hands)
    return shapes, PoseVariables(noise(3), noise(21, 3), noise(3), noise(2, 6))


def bone(posed: PosedBodies, start: str, end: str) -> torch.Tensor:
    return F.normalize(posed.joints[:, JOINT_INDEX[end]] - posed.joints[:, JOINT_INDEX[start]], dim=-1)
