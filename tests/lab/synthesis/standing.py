"""Source poses as tests need them: people who stand with hanging arms, with small random differences."""

from __future__ import annotations

import torch

from closemesh.lab.synthesis.initial_poses import set_arm
from closemesh.lab.synthesis.key_poses import SourcePoses


def standing_sources(count: int = 8) -> SourcePoses:
    pose = 0.03 * torch.randn(count, 21, 3, generator=torch.Generator().manual_seed(0))
    for side, sign in (("left", 1), ("right", -1)):
        hanging = torch.tensor([0.2 * sign, -1.0, 0.05]).expand(count, 3)
        pose = set_arm(pose, side, hanging, hanging + torch.tensor([0, 0, 0.2]))
    return SourcePoses(torch.zeros(count, 3), pose, tuple(("standing", frame) for frame in range(count)))
