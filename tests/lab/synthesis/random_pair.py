"""Random motion of two people, as tests need it."""

from __future__ import annotations

import torch

from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.lab.synthesis.pair_motion import PairMotion


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def two_people(frames: int = 2, distance: float = 0.2, seed: int = 0) -> PairMotion:
    g = generator(seed)
    pelvis = torch.zeros(frames, 2, 3)
    pelvis[:, 1, 2] = distance
    return PairMotion(
        betas=torch.randn(frames, 2, 10, generator=g),
        rotations=axis_angle_to_matrix(0.2 * torch.randn(frames, 2, 22, 3, generator=g)),
        hand_pose=0.1 * torch.randn(frames, 2, 30, 3, generator=g),
        pelvis=pelvis,
    )
