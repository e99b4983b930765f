"""Clips, walking frames.

Captured motion of one person, ready to be played at any speed and in any direction.

Moments of captured walking, to walk up to somebody and away again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from closemesh.body.skeleton import JOINT_INDEX, PARENTS
from closemesh.geometry.rotations import (
    axis_angle_to_matrix,
    geodesic_angle,
    matrix_to_6d,
    matrix_to_axis_angle,
    rotation_6d_to_matrix,
)
from closemesh.lab.synthesis.key_poses import heading, yaw_matrix
from closemesh.losses.joint_limits import joint_limit_excess
from closemesh.motion_files.sequence import MotionSequence
from closemesh.structures import NUM_BODY_JOINTS

FOOT_JOINTS = tuple((JOINT_INDEX[f"{side}_ankle"], JOINT_INDEX[f"{side}_foot"]) for side in ("left", "right"))
STANDING_RISE = 0.05  # Metres above where a foot stands lowest in the clip.
STANDING_SPEED = 0.40  # m/s; a foot that is slower and low stands.


@dataclass(frozen=True)
class CapturedClip:
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


def make_clips(sequences: Sequence[MotionSequence]) -> dict[str, CapturedClip]:
    """Single people's sequences by name; those with several people or without a skeleton are left out."""
    usable = [s for s in sequences if s.num_people == 1 and s.rest_joints is not None and len(s) > 3]
    return {sequence.name: _clip(sequence) for sequence in usable}


def still_clip(rotations: Tensor, leg_length: float, frames: int = 9) -> CapturedClip:
    """Somebody who holds a pose [22, 3, 3]."""
    return CapturedClip(
        name="still",
        fps=30.0,
        rotations=rotations.expand(frames, -1, -1, -1),
        pelvis=torch.zeros(frames, 3),
        leg_length=leg_length,
        standing=torch.ones(frames, 2, dtype=torch.bool),
        valid=torch.ones(frames, dtype=torch.bool),
    )


def sample_clip(clip: CapturedClip, frames: Tensor) -> tuple[Tensor, Tensor]:
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


def _clip(sequence: MotionSequence) -> CapturedClip:
    rotations = _within_limits(torch.as_tensor(sequence.rotations[:, 0, :NUM_BODY_JOINTS], dtype=torch.float32))
    pelvis = torch.as_tensor(sequence.pelvis[:, 0], dtype=torch.float32)
    rest = torch.as_tensor(sequence.rest_joints[0], dtype=torch.float32)  # type: ignore[index]
    joints = skeleton_joints(rotations, pelvis, rest)
    return CapturedClip(
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
    within = body_pose - joint_limit_excess(body_pose) * body_pose.sign()  # Every range holds 0.
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


_SPACING = 3  # Frames between two moments.
_SPEEDS = 0.5, 1.8  # m/s of a walk.
_ASTRAY = math.radians(30)  # Between where somebody looks and where he walks.
_STEP = 5  # Frames over which speed is taken.
_COMPARED = {
    **{"pelvis": 2.0, "left_hip": 1.0, "right_hip": 1.0, "left_knee": 0.7, "right_knee": 0.7},
    **{"left_ankle": 0.3, "right_ankle": 0.3, "spine1": 0.5, "spine2": 0.5},
}
_JOINTS = [JOINT_INDEX[name] for name in _COMPARED]


@dataclass(frozen=True)
class Moment:
    """One frame of a clip."""

    clip: CapturedClip
    frame: int


class WalkLibrary:
    """All moments of walking in some clips, found by the pose of trunk and legs."""

    def __init__(self, clips: Iterable[CapturedClip]) -> None:
        self._moments = [Moment(clip, frame) for clip in clips for frame in _walking_frames(clip)]
        poses = [_stance(m.clip.rotations[m.frame]) for m in self._moments]
        self._poses = torch.stack(poses) if poses else torch.zeros(0, len(_JOINTS), 3, 3)
        around = [m.clip.captured_around(m.frame) for m in self._moments]
        self._before = torch.tensor([m.frame - first for m, (first, _) in zip(self._moments, around, strict=True)])
        self._after = torch.tensor([last - m.frame for m, (_, last) in zip(self._moments, around, strict=True)])

    def __len__(self) -> int:
        return len(self._moments)

    def nearest(self, rotations: Tensor, count: int, before: float, after: float) -> list[Moment]:
        """The `count` moments whose stance is nearest to a pose [22, 3, 3], with as many captured frames around."""
        usable = ((self._before >= before) & (self._after >= after)).nonzero()[:, 0]
        if len(usable) == 0:
            return []
        angles = geodesic_angle(self._poses[usable], _stance(rotations))  # [M, joints]
        cost = angles.square() @ torch.tensor(list(_COMPARED.values()))
        best = cost.argsort()[: 4 * count]
        return self._spread(usable[best], count)

    def _spread(self, ranked: Tensor, count: int) -> list[Moment]:
        """The first ones, none of them next to another in its clip."""
        chosen: list[Moment] = []
        for index in ranked.tolist():
            moment = self._moments[index]
            if all(c.clip is not moment.clip or abs(c.frame - moment.frame) > 2 * _SPACING for c in chosen):
                chosen.append(moment)
        return chosen[:count]


def _walking_frames(clip: CapturedClip) -> list[int]:
    """Frames, `_SPACING` apart, in which somebody walks ahead with a foot on the ground."""
    if len(clip) <= 2 * _STEP:
        return []
    frames = torch.arange(_STEP, len(clip) - _STEP, _SPACING)
    velocity = (clip.pelvis[frames + _STEP] - clip.pelvis[frames - _STEP]) * clip.fps / (2 * _STEP)
    speed = velocity[:, [0, 2]].norm(dim=-1)
    astray = torch.atan2(velocity[:, 0], velocity[:, 2]) - heading(clip.rotations[frames, 0])
    ahead = torch.cos(astray) > math.cos(_ASTRAY)
    walks = clip.valid[frames] & ahead & (speed > _SPEEDS[0]) & (speed < _SPEEDS[1]) & clip.standing[frames].any(-1)
    return frames[walks].tolist()


def _stance(rotations: Tensor) -> Tensor:
    """The compared joints [joints, 3, 3] of a pose [22, 3, 3], heading taken out."""
    stance = rotations[_JOINTS].clone()
    stance[0] = yaw_matrix(-heading(rotations[0])) @ stance[0]
    return stance
