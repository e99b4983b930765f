"""Adam with a cosine decay, and the one table of loss weights, standard deviations and phases of every fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from closemesh.body.motion import MotionParameters
from closemesh.core.progress import Advance
from closemesh.losses.keypoints import OUTLIER_SIGMAS

# Learning rates relative to that of rotations: a ray moves pixels, a depth meters, a shape the whole clip.
_ROTATIONS = dict.fromkeys(("root", "body_pose", "jaw", "hand_pose"), 1.0)
_RELATIVE_RATES = {**_ROTATIONS, "pelvis_ray": 0.1, "log_depth": 0.5, "betas": 2.0}
_FINAL_RATE = 0.1  # Fraction of the first one, after the cosine decay.


def minimize(
    parameters: MotionParameters,
    loss: Callable[[MotionParameters, int], Tensor],
    *,
    iterations: int,
    learning_rate: float,
    free: Collection[str],
    advance: Advance,
) -> MotionParameters:
    """Parameters after `iterations` steps of Adam on loss(parameters, step); only those named in `free` change."""
    leaves = {name: tensor.detach().clone() for name, tensor in parameters.tensors().items()}
    groups = parameter_groups({name: leaves[name].requires_grad_() for name in free}, learning_rate)
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
    decay = cosine_decay(optimizer, iterations)
    for step in range(iterations):
        optimizer.zero_grad(set_to_none=True)
        loss(MotionParameters(**leaves), step).backward()
        optimizer.step()
        decay.step()
        advance(1)
    return MotionParameters(**leaves).detached()


def parameter_groups(variables: Mapping[str, Tensor], learning_rate: float) -> list[dict[str, Any]]:
    """Groups of an optimizer, one for each of the variables; learning_rate is that of rotations."""
    return [{"params": [tensor], "lr": learning_rate * _RELATIVE_RATES[name]} for name, tensor in variables.items()]


def cosine_decay(optimizer: torch.optim.Optimizer, iterations: int) -> torch.optim.lr_scheduler.LambdaLR:
    """Cosine decay of all learning rates over `iterations` steps."""
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _cosine(step / max(iterations, 1)))


def _cosine(progress: float) -> float:
    return _FINAL_RATE + (1 - _FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


@dataclass(frozen=True)
class Weights:
    """Weight of each loss term; every term is divided by its standard deviation first. 0 leaves a term out."""

    reprojection: float = 2.0
    outlier_sigmas: float = OUTLIER_SIGMAS
    """Standard deviations beyond which a keypoint has no effect; larger where limbs may start far from it."""
    limbs: float = 1.0
    pose_prior: float = 0.25
    limits: float = 1.0
    reference: float = 0.0
    shape: float = 1.0
    smooth_joints: float = 0.0
    smooth_root: float = 0.0
    floor: float = 0.0
    foot_skating: float = 0.0
    penetration: float = 0.0
    contact: float = 0.0
    appearance: float = 0.0
    text: float = 0.0
    silhouette: float = 0.0


# Medians of captured dancing, walking, sports and fights, 30 frames a second, as standard deviations along each axis;
# joints 1 to 21 in SMPL-X order.
_ACCELERATION = (
    *(0.8, 0.8, 0.2, 3.4, 3.4, 0.5, 4.6, 4.6, 0.9, 4.6, 4.6),
    *(1.2, 1.3, 1.3, 1.7, 2.0, 2.0, 2.7, 2.7, 3.7, 3.7),
)


@dataclass(frozen=True)
class Sigmas:
    """Standard deviations that residuals are divided by."""

    limb: float = 0.30
    """Radians of error of a limb direction from monocular 3D keypoints."""
    limit: float = 0.05
    """Radians beyond a joint limit."""
    acceleration: tuple[float, ...] = _ACCELERATION
    """[21] m/s^2 of each joint relative to the pelvis."""
    root_acceleration: float = 1.4
    """m/s^2 of the pelvis."""
    ground_penetration: float = 0.02
    """Meters below the floor."""
    standing: float = 0.03
    """Meters of a standing foot above or below the floor."""
    foot_skating: float = 0.10
    """m/s of a standing foot."""
    penetration: float = 0.01
    """Meters inside the other body."""
    contact: float = 0.02
    """Meters between surfaces in contact."""
    finger_rate: float = 8.0
    """rad/s of a finger joint."""
    wrist: float = 0.5
    """Radians between the wrist from hand keypoints and from body keypoints."""
    wrist_rate: float = 4.0
    """rad/s of that difference."""
    jaw: float = 0.3
    """Radians of jaw opening."""
    jaw_rate: float = 8.0
    """rad/s of a jaw."""
    mask: float = 0.015
    """Meters between the outlines of a body and of its mask, at the person's depth."""
    clear_rotation: float = 0.1
    """Radians of a joint from the first motion, where the person is clearly seen."""
    refined_rotation: float = 0.1
    """Radians of a joint from the refined motion."""
    refined_depth: float = 0.03
    """Relative deviation from the depth of the refined motion."""
    ordered_depth: float = 0.005
    """The same where the views clearly show another order of depth."""


@dataclass(frozen=True)
class Phase:
    """One run of the optimizer."""

    name: str
    weights: Weights
    fraction: float
    """Of the iterations of the stage."""
    learning_rate: float = 0.02
    """Of rotations; rays take a tenth of it, depths half of it."""


SIGMAS = Sigmas()

SINGLE_FRAMES = (
    Phase("place", Weights(pose_prior=0.1, limbs=2.0), fraction=0.4, learning_rate=0.15),
    Phase("pose", Weights(), fraction=0.6, learning_rate=0.08),
)
"""Each frame independently, from each start pose."""

SHAPE = (Phase("shape", Weights(shape=10.0), fraction=1.0, learning_rate=0.03),)
"""Shape and poses together, frame by frame. The detector's errors repeat from frame to frame: two dozen frames
determine the shape little better than two, and the weight of the shape prior takes that into account."""

SILHOUETTE_SHAPE = (
    Phase(
        "silhouettes",
        Weights(reprojection=0.1, limbs=0.0, reference=0.2, silhouette=1.0),
        fraction=1.0,
        learning_rate=0.02,
    ),
)
"""Shape and poses of one person in clear frames."""

SINGLE_PERSON = (Phase("smooth", Weights(smooth_joints=0.15, smooth_root=0.1), fraction=1.0, learning_rate=0.06),)
"""Each person over the clip, only without the lifting network."""

_NEAR = Weights(limbs=0.1, pose_prior=0.05, reference=0.1, smooth_joints=0.15, smooth_root=0.1)
NEAR_PREDICTION = (
    Phase("reach", replace(_NEAR, outlier_sigmas=16.0), fraction=0.5, learning_rate=0.03),
    Phase("near the lifted", _NEAR, fraction=0.5, learning_rate=0.03),
)
"""Each person over the clip, near the lifter's prediction, which takes the 3D keypoints into account already.

The first phase brings limbs to keypoints that are far from the prediction (graduated non-convexity)."""

CAMERA = Phase("camera", Weights(reprojection=1.0, limbs=0.3, reference=0.3), fraction=1.0, learning_rate=0.03)
"""Each person frame by frame, near the lifter's prediction, to compare cameras."""

HANDS = (Phase("fingers", Weights(), fraction=1.0, learning_rate=0.05),)
"""Fingers alone, where they are detected."""

FLOOR_ALIGNMENT = (Phase("settle", Weights(floor=1.0, shape=30.0), fraction=1.0, learning_rate=0.03),)
"""Shapes and depths on one floor, frame by frame. The distance from the shape before counts once per frame, so that no
person is scaled to a floor on which that person does not stand."""

PHOTOMETRIC = Phase(
    "photometric",
    Weights(reprojection=1.0, limbs=0.0, pose_prior=0.0, reference=0.5, appearance=3000.0),
    fraction=1.0,
    learning_rate=0.01,
)
"""All people in each view, near the refined motion."""

TEXT = Phase("text", Weights(reference=40.0, text=5.0), fraction=0.5, learning_rate=0.06)
"""All people towards their statements, frame by frame: a smoothness term would hold the motion back."""

_REFINED = Weights(
    limbs=0.1,
    reference=0.5,
    smooth_joints=1.0,
    smooth_root=1.0,
    floor=1.0,
    foot_skating=0.3,
    text=0.4,
    appearance=300.0,
)
_CONTACT = replace(_REFINED, penetration=1.0, contact=0.6)
_SEPARATE = replace(_REFINED, penetration=10.0, contact=2.4, smooth_joints=3.0, smooth_root=3.0)
JOINT = (
    Phase("ground", replace(_REFINED, outlier_sigmas=16.0), fraction=0.4),
    Phase("contact", _CONTACT, fraction=0.6, learning_rate=0.01),
)
"""All people jointly, near the refined motion."""

SEPARATE = Phase("separate", _SEPARATE, fraction=0.8, learning_rate=0.005)
"""After JOINT where people are close: it ends crossings and keeps contacts.

Its penetration term is stronger and would act frame by frame; so smoothness is stronger too.
"""
