"""What the denoiser is trained on: the decoded x0 in rotations, joints, speeds and distances between people."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from closemesh.body.points import PosedPoints
from closemesh.proxemics.state import PairState
from closemesh.proxemics.windows import PairBody, by_window, pose_pair

NUM_JOINTS = 22


@dataclass(frozen=True)
class LossWeights:
    """How much each part counts (CloseInt's table; velocities from frame to frame, and distances between people)."""

    pose: float = 1.0
    shape: float = 0.02
    joints: float = 10.0
    place: float = 4.0
    velocity: float = 10.0
    interaction: float = 10.0


def motion_loss(
    body: PairBody,
    predicted: PairState,
    truth: PairState,
    known: Tensor,
    present: Tensor,
    weights: LossWeights,
    fade: float = 0.1,
) -> dict[str, Tensor]:
    """Weighted mean of each term; known [B, 2, 22] joints that the data tells, present [B, T, 2] bool.

    Distances count by how near the joints are to the partner's: `fade` metres is where closeness counts double.
    """
    joints, true_joints = _joints(pose_pair(body, predicted)), _joints(pose_pair(body, truth))
    moved = (known[:, None] & present[..., None]).float()  # [B, T, 2, 22]
    rotation = (predicted.rotations - truth.rotations).square().sum((-1, -2))
    centred, true_centred = joints - joints[..., :1, :], true_joints - true_joints[..., :1, :]
    here = present[..., None].float()
    pairs = (present[:, 1:] & present[:, :-1])[..., None].float()
    speed = (centred[:, 1:] - centred[:, :-1]) - (true_centred[:, 1:] - true_centred[:, :-1])
    root_speed = (joints[:, 1:, :, :1] - joints[:, :-1, :, :1]) - (
        true_joints[:, 1:, :, :1] - true_joints[:, :-1, :, :1]
    )
    both = present.all(-1)[..., None, None].float()  # [B, T, 1, 1]
    apart, true_apart = (_apart(j[:, :, 0], j[:, :, 1]) for j in (joints, true_joints))  # [B, T, 22, 22]
    nearness = both * (1 + torch.exp(-true_apart / (5 * fade)) * 4)
    return {
        "pose": weights.pose * _mean(rotation, moved),
        "shape": weights.shape * _mean((predicted.betas - truth.betas).square().sum(-1), present.float()),
        "joints": weights.joints * _mean((centred - true_centred).norm(dim=-1), here.expand_as(centred[..., 0])),
        "place": weights.place * _mean((joints[..., 0, :] - true_joints[..., 0, :]).norm(dim=-1), present.float()),
        "velocity": weights.velocity
        * (_mean(speed.norm(dim=-1), pairs.expand_as(speed[..., 0])) + _mean(root_speed.norm(dim=-1), pairs)),
        "interaction": weights.interaction * _mean((apart - true_apart).abs(), nearness.expand_as(apart)),
    }


def _joints(posed: PosedPoints) -> Tensor:
    """[B, T, 2, 22, 3]."""
    return by_window(posed.joints[..., :NUM_JOINTS, :])


def _apart(a: Tensor, b: Tensor) -> Tensor:
    """As torch.cdist, which on a GPU is slow for so few points."""
    return (a[..., :, None, :] - b[..., None, :, :]).norm(dim=-1)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum().clamp(min=1)
