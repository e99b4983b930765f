"""Everybody's motion in the terms of the prior, and many refined pairs back into one motion for each person."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skinning import rest_joints
from closemesh.geometry.rotations import rotation_6d_to_matrix
from closemesh.proxemics.state import NUM_BETAS, NUM_ROTATIONS, PairSpread, PairState, pack
from closemesh.scene import BodyMotion, PoseSpread

SMALLEST_TURN, SMALLEST_MOVE, SMALLEST_BETA = 0.03, 0.01, 0.05  # Radians, metres; smaller spreads mean nothing.


class People:
    """The motion that is refined, and the sum of what the pairs say of it."""

    def __init__(self, motion: BodyMotion, spread: PoseSpread, body: BodyModel, device: torch.device) -> None:
        def tensor(array: np.ndarray) -> Tensor:
            return torch.as_tensor(array, dtype=torch.float32, device=device)

        frames = len(motion.transl)
        betas = tensor(motion.betas)
        rest = rest_joints(body.to(device), betas)[:, 0]  # [P, 3]
        # As PairState with all people in the place of the two.
        self.initial = PairState(
            rotations=tensor(motion.rotations[:, :, :NUM_ROTATIONS])[None],
            betas=betas[:, :NUM_BETAS].expand(1, frames, -1, -1),
            pelvis=(tensor(motion.transl) + rest)[None],
        )
        self.spread = PairSpread(
            rotations=tensor(spread.rotations).clamp(min=SMALLEST_TURN)[None],
            betas=tensor(spread.betas)[:, :NUM_BETAS].clamp(min=SMALLEST_BETA).expand(1, frames, -1, -1),
            pelvis=tensor(spread.pelvis).clamp(min=SMALLEST_MOVE)[None],
        )
        self._body, self._motion = body.to(device), motion
        self._sum = torch.zeros_like(pack(self.initial)[0])  # [T, P, STATE_WIDTH]
        self._weight = torch.zeros_like(self._sum[..., :1])
        self._strength = torch.zeros_like(self._weight)

    def pair(self, a: int, b: int, frames: slice) -> tuple[PairState, PairSpread]:
        """Two of the people over some frames, camera frame."""
        chosen = [a, b]
        spread = PairSpread(*(value[:, frames, chosen] for value in vars(self.spread).values()))
        return self.initial.map(lambda value: value[:, frames][:, :, chosen]), spread

    def add(self, a: int, b: int, frames: slice, refined: PairState, weight: Tensor) -> None:
        """What the pair says of both over these frames; weight [t] 0..1."""
        weight = weight[:, None, None]
        self._sum[frames, [a, b]] += weight * pack(refined)[0]
        self._weight[frames, [a, b]] += weight
        self._strength[frames, [a, b]] = torch.maximum(self._strength[frames, [a, b]], weight)

    def motion(self) -> BodyMotion:
        """The motion of everybody: the mean of what all pairs say, where they say something; one shape a person."""
        initial = pack(self.initial)[0]
        mean = torch.where(self._weight > 0, self._sum / self._weight.clamp(min=1e-6), initial)
        merged = torch.lerp(initial, mean, self._strength)
        turned = rotation_6d_to_matrix(merged[..., : NUM_ROTATIONS * 6].unflatten(-1, (NUM_ROTATIONS, 6)))
        betas = torch.as_tensor(self._motion.betas, dtype=torch.float32, device=initial.device).clone()
        told = self._weight.sum(0)  # [P, 1]
        of_pairs = (self._sum[..., -3 - NUM_BETAS : -3]).sum(0) / told.clamp(min=1e-6)
        betas[:, :NUM_BETAS] = torch.where(told > 0, of_pairs, betas[:, :NUM_BETAS])
        transl = merged[..., -3:] - rest_joints(self._body, betas)[:, 0]
        rotations = self._motion.rotations.copy()
        rotations[:, :, :NUM_ROTATIONS] = turned.cpu().numpy()
        return self._motion.with_pose(rotations=rotations, transl=transl.cpu().numpy(), betas=betas.cpu().numpy())
