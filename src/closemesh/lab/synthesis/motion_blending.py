"""Captured clips warped so that they pass through a key pose, and the idle motion of people who hold a pose."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from closemesh.body.skeleton import JOINT_INDEX, JOINT_NAMES
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.lab.synthesis.captured_clips import CapturedClip, sample_clip
from closemesh.lab.synthesis.key_poses import nearest_yaw, yaw_matrix
from closemesh.lab.synthesis.pair_motion import ContactPoints, PairMotion
from closemesh.lab.synthesis.timing import FPS, Timing, smooth_step

LEGS = tuple(
    tuple(JOINT_INDEX[f"{side}_{name}"] for name in ("hip", "knee", "ankle", "foot")) for side in ("left", "right")
)
_PELVIS = 0
_MIN_STEP = 3  # Frames; a foot that leaves the floor for less does not step.


@dataclass(frozen=True)
class PersonKeyPose:
    """Key pose of one person. Frame: world, meters."""

    rotations: Tensor  # [22, 3, 3]
    pelvis: Tensor  # [3]
    leg_length: float
    """Meters from hip to ankle of the body that moves."""
    on_feet: bool
    """The person stands and takes the captured steps; otherwise pelvis and legs keep the key pose."""
    legs_in_contact: tuple[bool, bool] = (False, False)
    """The left and the right leg take part in the contact and move with it, not with the stance."""


@dataclass(frozen=True)
class ClipSegment:
    """A part of a clip that leads to a key pose or away from it."""

    clip: CapturedClip
    frame: float
    """The frame that is replaced by the key pose."""
    direction: int
    """1 plays forwards, -1 backwards."""
    rate: float
    """Speed, 1 as captured."""
    steps: bool
    """The feet go where the clip takes them; otherwise they keep the stance of the key pose."""

    def clip_frames(self, timing: Timing) -> Tensor:
        """[T] fractional frames of the clip that the window plays."""
        return self.frame + self.direction * timing.clip_offsets(self.rate)


@dataclass(frozen=True)
class PersonMotion:
    """Motion of one person over a window. Frame: world, meters."""

    rotations: Tensor  # [T, 22, 3, 3]
    pelvis: Tensor  # [T, 3]
    foot_contact: Tensor  # [T, 2] bool, left and right foot


@dataclass(frozen=True)
class BlendedMotion:
    """Motion of two people warped through a key pose, before its contact is enforced."""

    timing: Timing
    motion: PairMotion
    foot_contact: Tensor  # [T, 2, 2] bool, person and foot
    contact: ContactPoints


def warp_through_key_pose(segment: ClipSegment, key: PersonKeyPose, timing: Timing) -> PersonMotion:
    """The clip of `segment`, placed and warped so that it passes through the key pose at `timing.key`."""
    frames = segment.clip_frames(timing)
    rotations, pelvis = sample_clip(segment.clip, torch.cat([frames, frames.new_tensor([segment.frame])]))
    turn = yaw_matrix(nearest_yaw(key.rotations[0] @ rotations[-1, 0].T))
    rotations = torch.cat([(turn @ rotations[:, 0])[:, None], rotations[:, 1:]], dim=1)
    path = (pelvis - pelvis[-1]) @ turn.T * (key.leg_length / segment.clip.leg_length)
    offset = matrix_to_axis_angle(rotations[-1].transpose(-1, -2) @ key.rotations)  # [22, 3]
    foot_contact = _foot_contact(segment, frames)
    weights = _offset_weights(segment, key, timing, foot_contact)  # [T, 22]
    warped = rotations[:-1] @ axis_angle_to_matrix(weights[..., None] * offset)
    if not key.on_feet:
        warped[:, _PELVIS] = key.rotations[_PELVIS]
        path = torch.zeros_like(path)
    return PersonMotion(warped, key.pelvis + path[:-1], foot_contact)


def crossfade(before: PersonMotion, after: PersonMotion, timing: Timing) -> PersonMotion:
    """From one motion to the other during contact; both pass through the same key pose."""
    weight = timing.leave_weight()
    turn = matrix_to_axis_angle(before.rotations.transpose(-1, -2) @ after.rotations)
    late = torch.arange(timing.length) > timing.key
    return PersonMotion(
        rotations=before.rotations @ axis_angle_to_matrix(weight[:, None, None] * turn),
        pelvis=before.pelvis + weight[:, None] * (after.pelvis - before.pelvis),
        foot_contact=torch.where(late[:, None], after.foot_contact, before.foot_contact),
    )


def _foot_contact(segment: ClipSegment, frames: Tensor) -> Tensor:
    """[T, 2] bool at the clip frames [T]."""
    if not segment.steps:
        return torch.ones(len(frames), 2, dtype=torch.bool)
    return segment.clip.foot_contact[frames.round().long().clamp(0, len(segment.clip) - 1)]


def _offset_weights(segment: ClipSegment, key: PersonKeyPose, timing: Timing, foot_contact: Tensor) -> Tensor:
    """[T, 22] fraction of its offset to the key pose that each joint has; foot_contact [T, 2]."""
    weights = timing.key_pose_weight()[:, None].repeat(1, 22)
    if not segment.steps:
        weights[:, _PELVIS] = 1
    for side, leg in enumerate(LEGS):
        if key.legs_in_contact[side]:
            continue
        if segment.steps and key.on_feet:
            weights[:, list(leg)] = _leg_weight(foot_contact[:, side], timing)[:, None]
        else:
            weights[:, list(leg)] = 1
    return weights


def _leg_weight(foot_contact: Tensor, timing: Timing) -> Tensor:
    """[T] weight of the offset of a leg; foot_contact [T].

    It appears with the last step before contact and disappears with the first one after it. A foot that stands all the
    time keeps the offset, so that it does not slide.
    """
    weight = torch.ones(len(foot_contact))
    frames = torch.arange(len(foot_contact), dtype=torch.float32)
    steps = _find_steps(foot_contact)
    before = [s for s in steps if s[1] <= timing.key]
    after = [s for s in steps if s[0] > timing.key]
    if before:
        start, end = before[-1]
        weight = torch.minimum(weight, smooth_step((frames - start) / (end - start)))
    if after:
        start, end = after[0]
        weight = torch.minimum(weight, smooth_step((end - frames) / (end - start)))
    return weight


def _find_steps(foot_contact: Tensor) -> list[tuple[int, int]]:
    """First and last frame of each run in which a foot is off the floor; foot_contact [T]."""
    padded = torch.cat([foot_contact.new_ones(1), foot_contact, foot_contact.new_ones(1)]).int()
    change = padded[1:] - padded[:-1]
    starts, ends = (change == -1).nonzero()[:, 0], (change == 1).nonzero()[:, 0]
    return [(s - 1, e) for s, e in zip(starts.tolist(), ends.tolist(), strict=True) if e - s >= _MIN_STEP]


_NUM_WAVES = 4
_FREQUENCIES = 0.15, 0.7  # Hz.
# Standard deviation in radians of each joint.
_IDLE_SIGMA = {
    **{"spine1": 0.006, "spine2": 0.006, "spine3": 0.006, "neck": 0.015, "head": 0.03, "collar": 0.005},
    **{"shoulder": 0.015, "elbow": 0.02, "wrist": 0.015},
}
_SWAY_SIGMA = 0.005  # Meters, of the pelvis along x and z.


def idle_motion(length: int, generator: torch.Generator) -> Tensor:
    """Smooth random rotation vectors [length, 2, 22, 3] of trunk, head and arms of two people, radians."""
    sigmas = torch.tensor([_IDLE_SIGMA.get(name.split("_")[-1], 0.0) for name in JOINT_NAMES[:22]])
    return _waves(length, (2, len(sigmas), 3), generator) * sigmas[:, None]


def idle_sway(length: int, generator: torch.Generator) -> Tensor:
    """Smooth random offset [length, 1, 3] in meters of two pelvises that sway together."""
    sway = _waves(length, (1, 3), generator) * _SWAY_SIGMA
    sway[..., 1] = 0
    return sway


def _waves(length: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Sums [length, *shape] of slow sines with a standard deviation of 1."""
    times = torch.arange(length) / FPS
    low, high = _FREQUENCIES
    frequency = low + (high - low) * torch.rand(_NUM_WAVES, *shape, generator=generator)
    phase = torch.rand(_NUM_WAVES, *shape, generator=generator)
    angle = 2 * math.pi * (times.view(-1, 1, *[1] * len(shape)) * frequency + phase)
    return angle.sin().sum(1) * math.sqrt(2 / _NUM_WAVES)
