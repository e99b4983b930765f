"""Windows of two people who do not interact: side by side, passing, close, but never in contact."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from closemesh.body.skinning import rest_joints
from closemesh.lab.synthesis.captured_clips import CapturedClip, leg_length, sample_clip, skeleton_joints
from closemesh.lab.synthesis.key_poses import heading, yaw_matrix
from closemesh.lab.synthesis.pair_motion import HeldContact, PairMotion, align_feet_to_floor, mirror, mirror_feet
from closemesh.lab.synthesis.posed_bodies import random_betas
from closemesh.lab.synthesis.quality_checks import Tolerances, foot_skating_speed, measure_frames, min_distance
from closemesh.lab.synthesis.window_plan import SPEEDS, joint_spheres, sphere_overlap
from closemesh.lab.synthesis.windows import LENGTHS, BodyVariants, Window
from closemesh.structures import NUM_BODY_JOINTS

KIND = "apart"
MIN_DISTANCE = 0.05  # Meters between the surfaces, in every frame.
_SPHERE_DISTANCES = 0.08, 0.8  # Range of the smallest distance in meters between the spheres of the two.
_YAWS = (0.0, math.pi, None)  # Yaw of b relative to a; None for a random yaw.
_STEP = 0.05  # Meters by which b approaches a.
_INITIAL_DISTANCE = 4.0
_MIN_UPRIGHT = 0.85  # Cosine of the tilt of the pelvis.
_MIN_ON_FEET = 0.9  # Fraction of the frames.


def make_non_contact_window(
    clips: Mapping[str, CapturedClip], bodies: BodyVariants, generator: torch.Generator, tolerances: Tolerances
) -> Window:
    """A window of two people from randomly drawn clips, placed at a distance of at least `MIN_DISTANCE`.

    `faults` of the window names the errors beyond tolerance, `distance` when the two are closer after all.
    """
    length = int(torch.randint(*LENGTHS, (), generator=generator))
    usable = [clip for clip in clips.values() if _on_feet(clip) and _longest_run(clip)[1] > length * SPEEDS[1] + 1]
    betas = random_betas(2, bodies.light.num_betas, generator)
    rest = rest_joints(bodies.light, betas)[:, :NUM_BODY_JOINTS]
    parts = [_play(_pick(usable, generator), length, float(leg_length(rest[p])), generator) for p in range(2)]
    rotations, pelvis, foot_contact = (torch.stack(column, dim=1) for column in zip(*parts, strict=True))
    rotations, pelvis = _set_headings(rotations, pelvis, generator)
    pelvis = _set_distance(rotations, pelvis, rest - rest[:, :1], generator)
    relaxed = bodies.light.hand_mean.flatten(0, 1).expand(length, 2, -1, -1)
    motion = PairMotion(betas.expand(length, -1, -1), rotations, relaxed, pelvis)
    motion = align_feet_to_floor(motion, foot_contact, bodies.soles)
    if torch.rand((), generator=generator) < 0.5:
        motion, foot_contact = mirror(motion), mirror_feet(foot_contact)
    contact = torch.zeros(length, dtype=torch.bool)
    errors = measure_frames(motion, contact, bodies.fine, bodies.soles)
    faults = errors.faults(tolerances)
    if foot_skating_speed(motion.skin(bodies.soles)[0], foot_contact) > tolerances.sliding:
        faults = (*faults, "sliding")
    if not faults and min_distance(motion, bodies.fine, MIN_DISTANCE) < MIN_DISTANCE:
        faults = ("distance",)
    return Window(KIND, motion, contact, HeldContact.none(), errors, faults)


def _on_feet(clip: CapturedClip) -> bool:
    """The person stands or walks nearly all the time."""
    upright = clip.rotations[:, 0, 1, 1] > _MIN_UPRIGHT
    return float((clip.foot_contact.any(-1) & upright).float().mean()) > _MIN_ON_FEET


def _pick(clips: Sequence[CapturedClip], generator: torch.Generator) -> CapturedClip:
    return clips[int(torch.randint(len(clips), (), generator=generator))]


def _play(clip: CapturedClip, length: int, leg: float, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Rotations [T, 22, 3, 3], pelvis [T, 3] and foot contact [T, 2] of a random part of a clip at a random speed.

    leg: leg length in meters of the body that moves.
    """
    first, frames = _longest_run(clip)
    speed = SPEEDS[0] + (SPEEDS[1] - SPEEDS[0]) * float(torch.rand((), generator=generator))
    start = first + float(torch.rand((), generator=generator)) * (frames - 1 - speed * (length - 1))
    played = start + speed * torch.arange(length)
    rotations, pelvis = sample_clip(clip, played)
    scale = leg / clip.leg_length
    path = (pelvis - pelvis[0]) * scale
    path[:, 1] += scale * pelvis[0, 1]
    return rotations, path, clip.foot_contact[played.round().long()]


def _longest_run(clip: CapturedClip) -> tuple[int, int]:
    """First frame and number of frames of the longest run of valid frames."""
    runs = {clip.valid_run(int(frame)) for frame in clip.valid.nonzero()[:, 0]}
    first, last = max(runs, key=lambda run: run[1] - run[0], default=(0, -1))
    return first, last - first + 1


def _set_headings(rotations: Tensor, pelvis: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rotations [T, 2, 22, 3, 3] and pelvis [T, 2, 3] with a facing +z in the middle frame, b along a random yaw."""
    choice = _YAWS[int(torch.randint(len(_YAWS), (), generator=generator))]
    b = 2 * math.pi * float(torch.rand((), generator=generator)) if choice is None else choice
    turns = yaw_matrix(torch.tensor([0.0, b]) - heading(rotations[len(rotations) // 2, :, 0]))  # [2, 3, 3]
    root = turns @ rotations[:, :, 0]
    return torch.cat([root[:, :, None], rotations[:, :, 1:]], dim=2), (turns @ pelvis[..., None])[..., 0]


def _set_distance(rotations: Tensor, pelvis: Tensor, rest_joints: Tensor, generator: torch.Generator) -> Tensor:
    """Pelvis [T, 2, 3] with b moved along a random bearing until the spheres of the two have a random distance."""
    low, high = _SPHERE_DISTANCES
    wanted = low + (high - low) * float(torch.rand((), generator=generator))
    bearing = 2 * math.pi * torch.rand((), generator=generator)
    direction = torch.stack([bearing.sin(), torch.zeros(()), bearing.cos()])
    pelvis = pelvis.clone()
    middle = len(pelvis) // 2
    pelvis[..., [0, 2]] -= pelvis[middle, :, [0, 2]].clone()
    a, b = (joint_spheres(skeleton_joints(rotations[:, p], pelvis[:, p], rest_joints[p])) for p in range(2))
    distance = _INITIAL_DISTANCE
    while distance > 0 and sphere_overlap(a, b + (distance - _STEP) * direction).max() < -wanted:
        distance -= _STEP
    pelvis[:, 1] += distance * direction
    return pelvis
