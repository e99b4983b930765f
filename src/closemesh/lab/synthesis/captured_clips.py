"""Captured motion of single people, sampled at any speed, and a library of walking frames found by pose."""

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
MAX_CONTACT_HEIGHT = 0.05  # Meters above the lowest height of the foot in the clip.
MAX_CONTACT_SPEED = 0.40  # m/s of a foot on the floor.


@dataclass(frozen=True)
class CapturedClip:
    """Captured motion of one person over T frames. Frame: world, y up, meters."""

    name: str
    fps: float
    rotations: Tensor  # [T, 22, 3, 3] relative to the parent; joint 0 is R_world_root
    pelvis: Tensor  # [T, 3]
    leg_length: float  # Meters from hip to ankle on the captured skeleton.
    foot_contact: Tensor  # [T, 2] bool, left and right foot
    valid: Tensor  # [T] bool, captured

    def __len__(self) -> int:
        return len(self.rotations)

    def valid_run(self, frame: int) -> tuple[int, int]:
        """First and last frame of the run of valid frames around `frame`."""
        invalid = (~self.valid).nonzero()[:, 0]
        before, after = invalid[invalid <= frame], invalid[invalid >= frame]
        return int(before[-1]) + 1 if len(before) else 0, int(after[0]) - 1 if len(after) else len(self) - 1


@dataclass(frozen=True)
class ClipFrame:
    """One frame of a clip."""

    clip: CapturedClip
    frame: int


def make_clips(sequences: Sequence[MotionSequence]) -> dict[str, CapturedClip]:
    """Clips by name; sequences of several people, without a skeleton or of at most 3 frames are skipped."""
    usable = [s for s in sequences if s.num_people == 1 and s.rest_joints is not None and len(s) > 3]
    return {sequence.name: _make_clip(sequence) for sequence in usable}


def still_clip(rotations: Tensor, leg_length: float, frames: int = 9) -> CapturedClip:
    """A clip of a person who holds the pose rotations [22, 3, 3]; leg_length in meters."""
    return CapturedClip(
        name="still",
        fps=30.0,
        rotations=rotations.expand(frames, -1, -1, -1),
        pelvis=torch.zeros(frames, 3),
        leg_length=leg_length,
        foot_contact=torch.ones(frames, 2, dtype=torch.bool),
        valid=torch.ones(frames, dtype=torch.bool),
    )


def sample_clip(clip: CapturedClip, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations [N, 22, 3, 3] and pelvis [N, 3] at fractional frames [N], with continuous velocity (Catmull-Rom)."""
    frames = frames.clamp(0, len(clip) - 1)
    first = frames.floor().long().clamp(max=len(clip) - 2)
    support = (first[:, None] + torch.arange(-1, 3)).clamp(0, len(clip) - 1)  # [N, 4]
    weights = _cubic_weights(frames - first)  # [N, 4]
    mixed = torch.einsum("nk,nkjc->njc", weights, matrix_to_6d(clip.rotations)[support])
    return rotation_6d_to_matrix(mixed), torch.einsum("nk,nkc->nc", weights, clip.pelvis[support])


def leg_length(rest_joints: Tensor) -> Tensor:
    """Length [...] in meters of thigh plus shank, mean of both legs, from rest_joints [..., J, 3]."""
    chains = [[JOINT_INDEX[f"{side}_{name}"] for name in ("hip", "knee", "ankle")] for side in ("left", "right")]
    joints = rest_joints[..., torch.tensor(chains), :]  # [..., 2, 3, 3]
    return (joints[..., 1:, :] - joints[..., :-1, :]).norm(dim=-1).sum(-1).mean(-1)


def skeleton_joints(rotations: Tensor, pelvis: Tensor, rest_joints: Tensor) -> Tensor:
    """World positions [T, 22, 3] of a skeleton; rotations [T, 22, 3, 3], pelvis [T, 3], rest_joints [22, 3]."""
    global_rotations, positions = [rotations[:, 0]], [pelvis]
    for joint in range(1, NUM_BODY_JOINTS):
        parent = PARENTS[joint]
        bone = rest_joints[joint] - rest_joints[parent]
        positions.append(positions[parent] + global_rotations[parent] @ bone)
        global_rotations.append(global_rotations[parent] @ rotations[:, joint])
    return torch.stack(positions, dim=1)


def detect_foot_contact(joints: Tensor, fps: float) -> Tensor:
    """[T, 2] bool: the left and the right foot are low and nearly at rest; joints [T, J, 3] world, meters."""
    feet = joints[:, torch.tensor(FOOT_JOINTS)]  # [T, 2, 2, 3] ankle and ball of each foot
    height = feet[..., 1] - feet[..., 1].quantile(0.05, dim=0)
    speed = (feet[1:] - feet[:-1]).norm(dim=-1) * fps
    speed = torch.cat([speed[:1], torch.minimum(speed[1:], speed[:-1]), speed[-1:]]) if len(joints) > 2 else speed
    return ((height < MAX_CONTACT_HEIGHT) & (speed < MAX_CONTACT_SPEED)).any(-1)


def _make_clip(sequence: MotionSequence) -> CapturedClip:
    rotations = _clamp_to_limits(torch.as_tensor(sequence.rotations[:, 0, :NUM_BODY_JOINTS], dtype=torch.float32))
    pelvis = torch.as_tensor(sequence.pelvis[:, 0], dtype=torch.float32)
    rest = torch.as_tensor(sequence.rest_joints[0], dtype=torch.float32)  # type: ignore[index]
    joints = skeleton_joints(rotations, pelvis, rest)
    return CapturedClip(
        name=sequence.name,
        fps=sequence.fps,
        rotations=rotations,
        pelvis=pelvis,
        leg_length=float(leg_length(rest)),
        foot_contact=detect_foot_contact(joints, sequence.fps),
        valid=torch.as_tensor(sequence.valid[:, 0]),
    )


def _clamp_to_limits(rotations: Tensor) -> Tensor:
    """Rotations [T, 22, 3, 3] with every joint angle clamped to its range."""
    body_pose = matrix_to_axis_angle(rotations[:, 1:])
    clamped = body_pose - joint_limit_excess(body_pose) * body_pose.sign()  # Every range contains 0.
    return torch.cat([rotations[:, :1], axis_angle_to_matrix(clamped)], dim=1)


def _cubic_weights(fraction: Tensor) -> Tensor:
    """Catmull-Rom weights [N, 4] of the four frames around a time; fraction [N] in 0..1 between the middle two."""
    t = fraction[:, None]
    powers = torch.cat([torch.ones_like(t), t, t * t, t * t * t], dim=1)
    matrix = torch.tensor([[0, 1, 0, 0], [-0.5, 0, 0.5, 0], [1, -2.5, 2, -0.5], [-0.5, 1.5, -1.5, 0.5]])
    return powers @ matrix.to(powers)


_SPACING = 3  # Frames between two walking frames.
_WALKING_SPEEDS = 0.5, 1.8  # m/s
_MAX_DEVIATION = math.radians(30)  # Between the heading of the body and the direction of motion.
_HALF_WINDOW = 5  # Frames to either side over which speed is measured.
_JOINT_WEIGHTS = {
    **{"pelvis": 2.0, "left_hip": 1.0, "right_hip": 1.0, "left_knee": 0.7, "right_knee": 0.7},
    **{"left_ankle": 0.3, "right_ankle": 0.3, "spine1": 0.5, "spine2": 0.5},
}
_JOINTS = [JOINT_INDEX[name] for name in _JOINT_WEIGHTS]


class WalkLibrary:
    """All walking frames of some clips, found by the pose of trunk and legs."""

    def __init__(self, clips: Iterable[CapturedClip]) -> None:
        self._frames = [ClipFrame(clip, frame) for clip in clips for frame in _walking_frames(clip)]
        poses = [_trunk_and_legs(f.clip.rotations[f.frame]) for f in self._frames]
        self._poses = torch.stack(poses) if poses else torch.zeros(0, len(_JOINTS), 3, 3)
        runs = [f.clip.valid_run(f.frame) for f in self._frames]
        self._before = torch.tensor([f.frame - first for f, (first, _) in zip(self._frames, runs, strict=True)])
        self._after = torch.tensor([last - f.frame for f, (_, last) in zip(self._frames, runs, strict=True)])

    def __len__(self) -> int:
        return len(self._frames)

    def nearest(self, rotations: Tensor, count: int, before: float, after: float) -> list[ClipFrame]:
        """The `count` frames most similar to the pose rotations [22, 3, 3].

        They have at least `before` and `after` valid frames around them.
        """
        usable = ((self._before >= before) & (self._after >= after)).nonzero()[:, 0]
        if len(usable) == 0:
            return []
        angles = geodesic_angle(self._poses[usable], _trunk_and_legs(rotations))  # [M, joints]
        cost = angles.square() @ torch.tensor(list(_JOINT_WEIGHTS.values()))
        best = cost.argsort()[: 4 * count]
        return self._separated(usable[best], count)

    def _separated(self, ranked: Tensor, count: int) -> list[ClipFrame]:
        """The first `count` of the ranked frames [M], without neighbors of one clip."""
        chosen: list[ClipFrame] = []
        for index in ranked.tolist():
            one = self._frames[index]
            if all(c.clip is not one.clip or abs(c.frame - one.frame) > 2 * _SPACING for c in chosen):
                chosen.append(one)
        return chosen[:count]


def _walking_frames(clip: CapturedClip) -> list[int]:
    """Frames, `_SPACING` apart, of a person who walks forward with a foot on the floor."""
    if len(clip) <= 2 * _HALF_WINDOW:
        return []
    frames = torch.arange(_HALF_WINDOW, len(clip) - _HALF_WINDOW, _SPACING)
    velocity = (clip.pelvis[frames + _HALF_WINDOW] - clip.pelvis[frames - _HALF_WINDOW]) * clip.fps / (2 * _HALF_WINDOW)
    speed = velocity[:, [0, 2]].norm(dim=-1)
    deviation = torch.atan2(velocity[:, 0], velocity[:, 2]) - heading(clip.rotations[frames, 0])
    forward = torch.cos(deviation) > math.cos(_MAX_DEVIATION)
    walking = (speed > _WALKING_SPEEDS[0]) & (speed < _WALKING_SPEEDS[1])
    return frames[clip.valid[frames] & forward & walking & clip.foot_contact[frames].any(-1)].tolist()


def _trunk_and_legs(rotations: Tensor) -> Tensor:
    """The compared joints [joints, 3, 3] of a pose [22, 3, 3], heading removed."""
    compared = rotations[_JOINTS].clone()
    compared[0] = yaw_matrix(-heading(rotations[0])) @ compared[0]
    return compared
