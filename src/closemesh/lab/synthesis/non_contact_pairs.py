"""People who have nothing to do with each other: side by side, passing, near, but never in touch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from closemesh.body.skinning import rest_joints
from closemesh.lab.synthesis.captured_clips import CapturedClip, leg_length, sample_clip, skeleton_joints
from closemesh.lab.synthesis.key_poses import heading, yaw_matrix
from closemesh.lab.synthesis.pair_motion import HeldContact, PairMotion, mirror, mirror_standing, settle_on_floor
from closemesh.lab.synthesis.quality_checks import Tolerances, closest, measure_frames, sliding_speed
from closemesh.lab.synthesis.single_person import random_betas
from closemesh.lab.synthesis.window_plan import SPEEDS, overlap, spheres
from closemesh.lab.synthesis.windows import Bodies, Window
from closemesh.structures import NUM_BODY_JOINTS

KIND = "apart"
LEAST_DISTANCE = 0.05  # Metres between the surfaces, in every frame.
_LENGTHS = 60, 105  # Frames.
_NEAREST = 0.08, 0.8  # Metres between the rough bodies where they come nearest.
_YAWS = (0.0, math.pi, None)  # Side by side, passing each other, any way.
_STEP = 0.05  # Metres by which the two are moved together.
_FARTHEST = 4.0
_UPRIGHT = 0.85  # Cosine of the pelvis's tilt.
_ON_FEET = 0.9  # Of the frames.


def make_apart(
    clips: Mapping[str, CapturedClip], bodies: Bodies, generator: torch.Generator, tolerances: Tolerances
) -> Window:
    """Two people, each from a clip drawn at random, placed so that they never come nearer than `LEAST_DISTANCE`.

    `faults` of the window says what is out of range, `distance` when they come nearer after all.
    """
    length = int(torch.randint(*_LENGTHS, (), generator=generator))
    usable = [clip for clip in clips.values() if _on_feet(clip) and _longest_run(clip)[1] > length * SPEEDS[1] + 1]
    betas = random_betas(2, bodies.light.num_betas, generator)
    rest = rest_joints(bodies.light, betas)[:, :NUM_BODY_JOINTS]
    parts = [_play(_pick(usable, generator), length, float(leg_length(rest[p])), generator) for p in range(2)]
    rotations, pelvis, standing = (torch.stack(column, dim=1) for column in zip(*parts, strict=True))
    rotations, pelvis = _face(rotations, pelvis, generator)
    pelvis = _place(rotations, pelvis, rest - rest[:, :1], generator)
    relaxed = bodies.light.hand_mean.flatten(0, 1).expand(length, 2, -1, -1)
    motion = PairMotion(betas.expand(length, -1, -1), rotations, relaxed, pelvis)
    motion = settle_on_floor(motion, standing, bodies.soles)
    if torch.rand((), generator=generator) < 0.5:
        motion, standing = mirror(motion), mirror_standing(standing)
    contact = torch.zeros(length, dtype=torch.bool)
    errors = measure_frames(motion, contact, bodies.fine, bodies.soles)
    faults = errors.faults(tolerances)
    if sliding_speed(motion.skin(bodies.soles)[0], standing) > tolerances.sliding:
        faults = (*faults, "sliding")
    if not faults and closest(motion, bodies.fine, LEAST_DISTANCE) < LEAST_DISTANCE:
        faults = ("distance",)
    none = HeldContact(torch.zeros(0, 2, dtype=torch.int64), ())
    return Window(KIND, motion, contact, none, errors, faults)


def _on_feet(clip: CapturedClip) -> bool:
    """Somebody who stands or walks nearly all the time."""
    upright = clip.rotations[:, 0, 1, 1] > _UPRIGHT
    return float((clip.standing.any(-1) & upright).float().mean()) > _ON_FEET


def _pick(clips: Sequence[CapturedClip], generator: torch.Generator) -> CapturedClip:
    return clips[int(torch.randint(len(clips), (), generator=generator))]


def _play(clip: CapturedClip, length: int, leg: float, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Rotations [T, 22, 3, 3], pelvis [T, 3] and standing [T, 2] of a part of a clip at some speed."""
    first, frames = _longest_run(clip)
    speed = SPEEDS[0] + (SPEEDS[1] - SPEEDS[0]) * float(torch.rand((), generator=generator))
    start = first + float(torch.rand((), generator=generator)) * (frames - 1 - speed * (length - 1))
    shown = start + speed * torch.arange(length)
    rotations, pelvis = sample_clip(clip, shown)
    scale = leg / clip.leg_length
    path = (pelvis - pelvis[0]) * scale
    path[:, 1] += scale * pelvis[0, 1]
    return rotations, path, clip.standing[shown.round().long()]


def _longest_run(clip: CapturedClip) -> tuple[int, int]:
    """First frame and number of frames of the longest uninterrupted motion."""
    runs = {clip.captured_around(int(frame)) for frame in clip.valid.nonzero()[:, 0]}
    first, last = max(runs, key=lambda run: run[1] - run[0], default=(0, -1))
    return first, last - first + 1


def _face(rotations: Tensor, pelvis: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Person a looks along z in the middle of the window; b alongside, against it, or any way."""
    choice = _YAWS[int(torch.randint(len(_YAWS), (), generator=generator))]
    b = 2 * math.pi * float(torch.rand((), generator=generator)) if choice is None else choice
    turns = yaw_matrix(torch.tensor([0.0, b]) - heading(rotations[len(rotations) // 2, :, 0]))  # [2, 3, 3]
    root = turns @ rotations[:, :, 0]
    return torch.cat([root[:, :, None], rotations[:, :, 1:]], dim=2), (turns @ pelvis[..., None])[..., 0]


def _place(rotations: Tensor, pelvis: Tensor, rest_joints: Tensor, generator: torch.Generator) -> Tensor:
    """Pelvis [T, 2, 3] with b moved towards a from the side until the two are as near as was drawn."""
    wanted = _NEAREST[0] + (_NEAREST[1] - _NEAREST[0]) * float(torch.rand((), generator=generator))
    bearing = 2 * math.pi * torch.rand((), generator=generator)
    way = torch.stack([bearing.sin(), torch.zeros(()), bearing.cos()])
    pelvis = pelvis.clone()
    middle = len(pelvis) // 2
    pelvis[..., [0, 2]] -= pelvis[middle, :, [0, 2]].clone()
    a, b = (spheres(skeleton_joints(rotations[:, p], pelvis[:, p], rest_joints[p])) for p in range(2))
    distance = _FARTHEST
    while distance > 0 and overlap(a, b + (distance - _STEP) * way).max() < -wanted:
        distance -= _STEP
    pelvis[:, 1] += distance * way
    return pelvis
