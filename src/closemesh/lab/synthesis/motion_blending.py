"""Clip through a key pose, idle motion.

Captured motion bent so that it passes through a key pose: an offset for each joint that fades in and out.

The small movements of people who hold a pose.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from closemesh.body.skeleton import JOINT_INDEX, JOINT_NAMES
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.lab.synthesis.captured_clips import CapturedClip, sample_clip
from closemesh.lab.synthesis.key_poses import nearest_yaw, yaw_matrix
from closemesh.lab.synthesis.timing import FPS, Timing, smooth_step

LEGS = tuple(
    tuple(JOINT_INDEX[f"{side}_{name}"] for name in ("hip", "knee", "ankle", "foot")) for side in ("left", "right")
)
_PELVIS = 0
_SHORTEST_SWING = 3  # Frames; a foot that leaves the ground for less does not step.


@dataclass(frozen=True)
class KeyPerson:
    """One person in the moment of contact."""

    rotations: Tensor  # [22, 3, 3]
    pelvis: Tensor  # [3]
    leg_length: float
    """Metres from hip to ankle on the body that moves."""
    on_feet: bool
    """Stands, so that the captured steps are taken; else pelvis and legs stay as the key pose has them."""
    touching_legs: tuple[bool, bool] = (False, False)
    """The left and the right leg are part of the contact, so that they move with it and not with the stance."""


@dataclass(frozen=True)
class ClipSegment:
    """What leads to a key pose or away from it: a clip, the frame that falls on the key pose, and how it plays."""

    clip: CapturedClip
    frame: float
    direction: int
    """1 plays forwards, -1 backwards."""
    rate: float
    """How fast, 1 as captured."""
    steps: bool
    """The feet go where the clip takes them; else they keep the stance of the key pose."""

    def captured_frames(self, timing: Timing) -> Tensor:
        """[T] frames of the clip that are shown."""
        return self.frame + self.direction * timing.played(self.rate)


@dataclass(frozen=True)
class PersonMotion:
    """One person over a window, world frame."""

    rotations: Tensor  # [T, 22, 3, 3]
    pelvis: Tensor  # [T, 3]
    standing: Tensor  # [T, 2] bool, left and right foot


def warp_through_key_pose(lead: ClipSegment, key: KeyPerson, timing: Timing) -> PersonMotion:
    """The clip of `lead`, placed so that it passes through the key pose at `timing.key`."""
    frames = lead.captured_frames(timing)
    rotations, pelvis = sample_clip(lead.clip, torch.cat([frames, frames.new_tensor([lead.frame])]))
    turn = yaw_matrix(nearest_yaw(key.rotations[0] @ rotations[-1, 0].T))
    rotations = torch.cat([(turn @ rotations[:, 0])[:, None], rotations[:, 1:]], dim=1)
    path = (pelvis - pelvis[-1]) @ turn.T * (key.leg_length / lead.clip.leg_length)
    offset = matrix_to_axis_angle(rotations[-1].transpose(-1, -2) @ key.rotations)  # [22, 3]
    standing = _standing(lead, frames)
    shares = _shares(lead, key, timing, standing)  # [T, 22]
    bent = rotations[:-1] @ axis_angle_to_matrix(shares[..., None] * offset)
    if not key.on_feet:
        bent[:, _PELVIS] = key.rotations[_PELVIS]
        path = torch.zeros_like(path)
    return PersonMotion(bent, key.pelvis + path[:-1], standing)


def join_motions(before: PersonMotion, after: PersonMotion, timing: Timing) -> PersonMotion:
    """From one motion to the other while contact lasts; both pass through the same key pose."""
    share = timing.passing()
    turn = matrix_to_axis_angle(before.rotations.transpose(-1, -2) @ after.rotations)
    late = torch.arange(timing.length) > timing.key
    return PersonMotion(
        rotations=before.rotations @ axis_angle_to_matrix(share[:, None, None] * turn),
        pelvis=before.pelvis + share[:, None] * (after.pelvis - before.pelvis),
        standing=torch.where(late[:, None], after.standing, before.standing),
    )


def _standing(lead: ClipSegment, frames: Tensor) -> Tensor:
    if not lead.steps:
        return torch.ones(len(frames), 2, dtype=torch.bool)
    return lead.clip.standing[frames.round().long().clamp(0, len(lead.clip) - 1)]


def _shares(lead: ClipSegment, key: KeyPerson, timing: Timing, standing: Tensor) -> Tensor:
    """[T, 22] how much of its offset each joint has in each frame."""
    shares = timing.closeness()[:, None].repeat(1, 22)
    if not lead.steps:
        shares[:, _PELVIS] = 1
    for side, leg in enumerate(LEGS):
        if key.touching_legs[side]:
            continue
        if lead.steps and key.on_feet:
            shares[:, list(leg)] = _step_share(standing[:, side], timing)[:, None]
        else:
            shares[:, list(leg)] = 1
    return shares


def _step_share(standing: Tensor, timing: Timing) -> Tensor:
    """[T] the offset of a leg: it comes with the last step before contact and goes with the first one after it.

    A foot that stands all the time keeps it, so that it does not slide.
    """
    share = torch.ones(len(standing))
    frames = torch.arange(len(standing), dtype=torch.float32)
    swings = _swings(standing)
    before = [s for s in swings if s[1] <= timing.key]
    after = [s for s in swings if s[0] > timing.key]
    if before:
        start, end = before[-1]
        share = torch.minimum(share, smooth_step((frames - start) / (end - start)))
    if after:
        start, end = after[0]
        share = torch.minimum(share, smooth_step((end - frames) / (end - start)))
    return share


def _swings(standing: Tensor) -> list[tuple[int, int]]:
    """First and last frame of each time in which a foot is off the ground."""
    padded = torch.cat([standing.new_ones(1), standing, standing.new_ones(1)]).int()
    change = padded[1:] - padded[:-1]
    starts, ends = (change == -1).nonzero()[:, 0], (change == 1).nonzero()[:, 0]
    return [(s - 1, e) for s, e in zip(starts.tolist(), ends.tolist(), strict=True) if e - s >= _SHORTEST_SWING]


_WAVES = 4
_FREQUENCIES = 0.15, 0.7  # Hz.
# Standard deviation in radians of each joint.
_AMPLITUDES = {
    **{"spine1": 0.006, "spine2": 0.006, "spine3": 0.006, "neck": 0.015, "head": 0.03, "collar": 0.005},
    **{"shoulder": 0.015, "elbow": 0.02, "wrist": 0.015},
}
_SWAY = 0.005  # Metres, standard deviation of the pelvis along x and z.


def living_turns(length: int, generator: torch.Generator) -> Tensor:
    """Smooth random rotation vectors [length, 2, 22, 3] of trunk, head and arms of two people."""
    amplitudes = torch.tensor([_AMPLITUDES.get(name.split("_")[-1], 0.0) for name in JOINT_NAMES[:22]])
    return _waves(length, (2, len(amplitudes), 3), generator) * amplitudes[:, None]


def common_sway(length: int, generator: torch.Generator) -> Tensor:
    """Offset [length, 1, 3] of two pelvises that sway together."""
    sway = _waves(length, (1, 3), generator) * _SWAY
    sway[..., 1] = 0
    return sway


def _waves(length: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Sums [length, *shape] of slow sines with a standard deviation of 1."""
    times = torch.arange(length) / FPS
    low, high = _FREQUENCIES
    frequency = low + (high - low) * torch.rand(_WAVES, *shape, generator=generator)
    phase = torch.rand(_WAVES, *shape, generator=generator)
    angle = 2 * math.pi * (times.view(-1, 1, *[1] * len(shape)) * frequency + phase)
    return angle.sin().sum(1) * math.sqrt(2 / _WAVES)
