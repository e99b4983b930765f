"""Weights, sigmas, phases, Adam loop.

The minimiser that every fit uses: Adam with a cosine decay, one rate for each kind of variable.

The one table of weights and phases: what counts how much, when, and how fast the variables move.

Every term is divided by its standard deviation, so that a weight of 1 says "trust the sigma".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from closemesh.body.motion import MotionParameters
from closemesh.core.progress import Advance

# Rates relative to that of rotations: a ray moves pixels, a depth metres, a shape the whole clip.
_TURNS = dict.fromkeys(("root", "body_pose", "jaw", "hand_pose"), 1.0)
_RELATIVE_RATES = {**_TURNS, "pelvis_ray": 0.1, "log_depth": 0.5, "betas": 2.0}
_FINAL_RATE = 0.1  # Of the first one, after the cosine decay.


def minimize(
    variables: MotionParameters,
    loss: Callable[[MotionParameters, int], Tensor],
    *,
    iterations: int,
    learning_rate: float,
    free: Collection[str],
    advance: Advance,
) -> MotionParameters:
    """Variables after `iterations` steps on loss(variables, step); only those named in `free` move."""
    leaves = {name: tensor.detach().clone() for name, tensor in variables.tensors().items()}
    groups = [{"params": [leaves[name].requires_grad_()], "lr": learning_rate * _RELATIVE_RATES[name]} for name in free]
    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.99))
    decay = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _cosine(step / max(iterations, 1)))
    for step in range(iterations):
        optimiser.zero_grad(set_to_none=True)
        loss(MotionParameters(**leaves), step).backward()
        optimiser.step()
        decay.step()
        advance(1)
    return MotionParameters(**leaves).detached()


def _cosine(progress: float) -> float:
    return _FINAL_RATE + (1 - _FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


@dataclass(frozen=True)
class Weights:
    """How much each energy counts; 0 leaves it out."""

    reprojection: float = 2.0
    limbs: float = 1.0
    pose_prior: float = 0.25
    limits: float = 1.0
    anchor: float = 0.0
    shape: float = 1.0
    smooth_joints: float = 0.0
    smooth_root: float = 0.0
    floor: float = 0.0
    foot_skating: float = 0.0
    penetration: float = 0.0
    contact: float = 0.0
    appearance: float = 0.0
    told: float = 0.0


@dataclass(frozen=True)
class Sigmas:
    """Standard deviations that the residuals are divided by."""

    limb: float = 0.30
    """Error of the cue's limb directions, radians."""
    limit: float = 0.05
    """Radians beyond a joint limit."""
    acceleration: float = 6.0
    """Usual acceleration of a joint against the pelvis, m/s^2."""
    root_acceleration: float = 5.0
    """Usual acceleration of the pelvis, m/s^2."""
    ground_penetration: float = 0.02
    """Metres below the floor."""
    standing: float = 0.03
    """Metres of a standing foot above or below the floor."""
    foot_skating: float = 0.10
    """m/s of a standing foot."""
    penetration: float = 0.01
    """Metres inside the partner."""
    contact: float = 0.02
    """Metres between surfaces that touch."""
    finger_rate: float = 8.0
    """rad/s of each finger joint."""
    wrist: float = 0.5
    """Radians by which a hand shows its wrist otherwise than the body alone did."""
    wrist_rate: float = 4.0
    """rad/s of that."""
    jaw: float = 0.3
    """Radians that a jaw is open."""
    jaw_rate: float = 8.0
    """rad/s of a jaw."""
    refined_turn: float = 0.1
    """Radians of each joint from where the refined motion has it."""
    refined_depth: float = 0.03
    """Share of the distance from the camera that the refined motion has."""


@dataclass(frozen=True)
class Phase:
    """One run of the optimiser."""

    name: str
    weights: Weights
    fraction: float
    """Its share of the stage's iterations."""
    learning_rate: float = 0.02
    """Of rotations; rays move a tenth of it, depths half of it."""


SIGMAS = Sigmas()

SINGLE_FRAMES = (
    Phase("place", Weights(pose_prior=0.1, limbs=2.0), fraction=0.4, learning_rate=0.15),
    Phase("pose", Weights(), fraction=0.6, learning_rate=0.08),
)
"""Each frame by itself, from each start."""

SHAPE = (Phase("shape", Weights(shape=10.0), fraction=1.0, learning_rate=0.03),)
"""The shape with the poses, frame by frame. The detector's errors repeat from frame to frame, so that two dozen frames
say little more about the shape than two: its prior counts accordingly."""

SINGLE_PERSON = (Phase("smooth", Weights(smooth_joints=0.3, smooth_root=1.0), fraction=1.0, learning_rate=0.06),)
"""Each person over the clip."""

NEAR_PREDICTION = (
    Phase(
        "near the lifted",
        Weights(limbs=0.3, pose_prior=0.05, anchor=1.0, smooth_joints=0.3, smooth_root=1.0),
        fraction=1.0,
        learning_rate=0.03,
    ),
)
"""Each person over the clip, near what the lifter told; the lifter has looked at the 3D cue already."""

HANDS = (Phase("fingers", Weights(), fraction=1.0, learning_rate=0.05),)
"""The fingers alone, where a detector sees them."""

FLOOR_ALIGNMENT = (Phase("settle", Weights(floor=1.0, shape=30.0), fraction=1.0, learning_rate=0.03),)
"""Sizes and distances on one floor, frame by frame; the shape counts once for each frame, so that nobody is shrunk
or stretched for a floor that he does not stand on."""

PHOTOMETRIC = Phase(
    "looks",
    Weights(reprojection=0.0, limbs=0.0, pose_prior=0.0, anchor=0.5, appearance=3000.0),
    fraction=1.0,
    learning_rate=0.01,
)
"""Everybody in each picture, near the refined motion."""

TEXT = Phase("words", Weights(anchor=40.0, told=5.0), fraction=0.5, learning_rate=0.06)
"""Everybody as he is told to be, frame by frame: a motion that is kept smooth meanwhile hardly gives way."""

_REFINED = Weights(anchor=40.0, smooth_joints=2.0, smooth_root=5.0, floor=1.0, foot_skating=0.3, told=1.5)
JOINT = (
    Phase("ground", _REFINED, fraction=0.4),
    Phase("touch", replace(_REFINED, penetration=1.0, contact=0.6), fraction=0.6, learning_rate=0.01),
)
"""Everybody together, near the refined motion."""
