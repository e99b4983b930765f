"""Captured motion of one person, ready to be played at any speed and in any direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from closemesh.body.skeleton import JOINT_INDEX, PARENTS
from closemesh.energy.limits import beyond_limits
from closemesh.geometry.rotations import (
    axis_angle_to_matrix,
    matrix_to_6d,
    matrix_to_axis_angle,
    rotation_6d_to_matrix,
)
from closemesh.motion_data.sequence import MotionSequence
from closemesh.scene import NUM_BODY_JOINTS

FOOT_JOINTS = tuple((JOINT_INDEX[f"{side}_ankle"], JOINT_INDEX[f"{side}_foot"]) for side in ("left", "right"))
STANDING_RISE = 0.05  # Metres above where a foot stands lowest in the clip.
STANDING_SPEED = 0.40  # m/s; a foot that is slower and low stands.


@dataclass(frozen=True)
class Clip:
    """Motion of one person. Frame: world, y up, metres."""

    name: str
    fps: float
    rotations: Tensor  # [T, 22, 3, 3] relative to the parent; joint 0 is R_world_root
    pelvis: Tensor  # [T, 3]
    leg_length: float  # Metres from hip to ankle on the captured skeleton.
    standing: Tensor  # [T, 2] bool, left and right foot
    valid: Tensor  # [T] bool, captured

    def __len__(self) -> int:
        return len(self.rotations)

    def captured_around(self, frame: int) -> tuple[int, int]:
        """First and last frame of the uninterrupted motion that `frame` belongs to."""
        gaps = (~self.valid).nonzero()[:, 0]
        before, after = gaps[gaps <= frame], gaps[gaps >= frame]
        return int(before[-1]) + 1 if len(before) else 0, int(after[0]) - 1 if len(after) else len(self) - 1


def make_clips(sequences: Sequence[MotionSequence]) -> dict[str, Clip]:
    """Single people's sequences by name; those with several people or without a skeleton are left out."""
    usable = [s for s in sequences if s.num_people == 1 and s.rest_joints is not None and len(s) > 3]
    return {sequence.name: _clip(sequence) for sequence in usable}


def still_clip(rotations: Tensor, leg_length: float, frames: int = 9) -> Clip:
    """Somebody who holds a pose [22, 3, 3]."""
    return Clip(
        name="still",
        fps=30.0,
        rotations=rotations.expand(frames, -1, -1, -1),
        pelvis=torch.zeros(frames, 3),
        leg_length=leg_length,
        standing=torch.ones(frames, 2, dtype=torch.bool),
        valid=torch.ones(frames, dtype=torch.bool),
    )


def sample_clip(clip: Clip, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations [N, 22, 3, 3] and pelvis [N, 3] at fractional frames [N], with continuous velocity (Catmull-Rom)."""
    frames = frames.clamp(0, len(clip) - 1)
    first = frames.floor().long().clamp(max=len(clip) - 2)
    near = (first[:, None] + torch.arange(-1, 3)).clamp(0, len(clip) - 1)  # [N, 4]
    shares = _cubic_shares(frames - first)  # [N, 4]
    mixed = torch.einsum("nk,nkjc->njc", shares, matrix_to_6d(clip.rotations)[near])
    return rotation_6d_to_matrix(mixed), torch.einsum("nk,nkc->nc", shares, clip.pelvis[near])


def leg_length(rest_joints: Tensor) -> Tensor:
    """Mean length [...] of thigh plus shank over both legs, of joints at rest [..., J, 3]."""
    chains = [[JOINT_INDEX[f"{side}_{name}"] for name in ("hip", "knee", "ankle")] for side in ("left", "right")]
    joints = rest_joints[..., torch.tensor(chains), :]  # [..., 2, 3, 3]
    return (joints[..., 1:, :] - joints[..., :-1, :]).norm(dim=-1).sum(-1).mean(-1)


def skeleton_joints(rotations: Tensor, pelvis: Tensor, rest_joints: Tensor) -> Tensor:
    """World positions [T, 22, 3] of a skeleton; rotations [T, 22, 3, 3], pelvis [T, 3], rest_joints [22, 3]."""
    turned, positions = [rotations[:, 0]], [pelvis]
    for joint in range(1, NUM_BODY_JOINTS):
        parent = PARENTS[joint]
        bone = rest_joints[joint] - rest_joints[parent]
        positions.append(positions[parent] + turned[parent] @ bone)
        turned.append(turned[parent] @ rotations[:, joint])
    return torch.stack(positions, dim=1)


def _clip(sequence: MotionSequence) -> Clip:
    rotations = _within_limits(torch.as_tensor(sequence.rotations[:, 0, :NUM_BODY_JOINTS], dtype=torch.float32))
    pelvis = torch.as_tensor(sequence.pelvis[:, 0], dtype=torch.float32)
    rest = torch.as_tensor(sequence.rest_joints[0], dtype=torch.float32)  # type: ignore[index]
    joints = skeleton_joints(rotations, pelvis, rest)
    return Clip(
        name=sequence.name,
        fps=sequence.fps,
        rotations=rotations,
        pelvis=pelvis,
        leg_length=float(leg_length(rest)),
        standing=standing_frames(joints, sequence.fps),
        valid=torch.as_tensor(sequence.valid[:, 0]),
    )


def _within_limits(rotations: Tensor) -> Tensor:
    """Rotations [T, 22, 3, 3] with joints that were solved beyond their range brought back to its end."""
    body_pose = matrix_to_axis_angle(rotations[:, 1:])
    within = body_pose - beyond_limits(body_pose) * body_pose.sign()  # Every range holds 0.
    return torch.cat([rotations[:, :1], axis_angle_to_matrix(within)], dim=1)


def standing_frames(joints: Tensor, fps: float) -> Tensor:
    """[T, 2] the left and the right foot are low and nearly at rest; joints [T, J, 3] in the world, metres."""
    feet = joints[:, torch.tensor(FOOT_JOINTS)]  # [T, 2, 2, 3] ankle and ball of each foot
    height = feet[..., 1] - feet[..., 1].quantile(0.05, dim=0)
    speed = (feet[1:] - feet[:-1]).norm(dim=-1) * fps
    speed = torch.cat([speed[:1], torch.minimum(speed[1:], speed[:-1]), speed[-1:]]) if len(joints) > 2 else speed
    return ((height < STANDING_RISE) & (speed < STANDING_SPEED)).any(-1)


def _cubic_shares(fraction: Tensor) -> Tensor:
    """Weights [N, 4] of the four frames around a moment; fraction [N] in 0..1 between the middle two."""
    t = fraction[:, None]
    powers = torch.cat([torch.ones_like(t), t, t * t, t * t * t], dim=1)
    matrix = torch.tensor([[0, 1, 0, 0], [-0.5, 0, 0.5, 0], [1, -2.5, 2, -0.5], [-0.5, 1.5, -1.5, 0.5]])
    return powers @ matrix.to(powers)
