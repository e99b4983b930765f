"""A motion on another body of the SMPL-X layout: rotations copied, the pelvis shifted, then all of it fitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from closemesh.body.landmarks import LandmarkBody
from closemesh.body.loading import load_landmark_body
from closemesh.body.model import BodyModel
from closemesh.body.motion import MotionParameters, pose_parameters, rest_pelvis
from closemesh.body_transfer.targets import (
    ContactTargets,
    LandmarkTargets,
    SurfaceTargets,
    find_touches,
    follow_energy,
    followed_points,
    motion_skin,
    pose_skin,
)
from closemesh.contact.measure import find_close_pairs
from closemesh.contact.watertight import watertight_body
from closemesh.core.arrays import Floats
from closemesh.core.progress import Advance, Progress
from closemesh.fitting.keypoint_tracks import reference_at
from closemesh.fitting.objective import POSE_VARIABLES, from_motion
from closemesh.fitting.optimizer import Weights, minimize
from closemesh.optimization.joint_objective import ContactObjective
from closemesh.structures import BodyMotion
from closemesh.temporal import crossfade_window, split_windows

_SHAPE_FRAMES = 12  # Frames, spread over the clip, that the shape is fitted to.
_WINDOW, _OVERLAP = 64, 16
_TURN, _DEPTH = 0.15, 0.05  # Radians, share of the distance: how far the fit may readily go from the copied pose.
_PENETRATION = Weights(penetration=1.0)
_PAIR_REACH = 0.1  # Metres between two people whose contact is looked at.


@dataclass(frozen=True)
class ConversionSteps:
    """Optimiser steps."""

    shape: int = 120
    pose: int = 60
    contact: int = 60


@dataclass(frozen=True)
class TransferResult:
    """The motion on the new body, camera frame."""

    copied: BodyMotion
    """Rotations and pelvis as they were, mean shape."""
    fitted: BodyMotion


def transfer_motion(
    motion: BodyMotion,
    source: BodyModel,
    target: BodyModel,
    times: Floats,
    device: torch.device,
    progress: Progress,
    steps: ConversionSteps | None = None,
) -> TransferResult:
    """`motion` of `source`, camera frame, put on `target`; times [T] seconds.

    Joints, keypoints and skin of the new body follow those of the old one, and surfaces that touched touch again.
    Expressions become neutral: those of two bodies have nothing in common.
    """
    steps, source, target = steps or ConversionSteps(), source.to(device), target.to(device)
    copied = copy_pose(motion, source, target)
    task = _task(motion, copied, source, target, torch.as_tensor(times, dtype=torch.float32, device=device))
    windows = split_windows(len(motion.transl), _WINDOW, _OVERLAP)
    total = steps.shape + len(windows) * (steps.pose + steps.contact)
    with progress.task(f"putting it on {target.name}", total) as advance:
        variables = from_motion(task.body, copied, device)
        variables = variables.with_tensors(betas=_fit_shape(task, variables, steps.shape, advance))
        for window in windows:
            piece = _fit_window(task, variables.frames(window), window, steps, advance)
            variables = crossfade_window(variables, piece, window, _OVERLAP)
    return TransferResult(copied, _to_motion(copied, task.body, variables))


def copy_pose(motion: BodyMotion, source: BodyModel, target: BodyModel) -> BodyMotion:
    """The same rotations and pelvis positions on the mean shape of `target`."""

    def pelvis(body: BodyModel, betas: Floats, expression: Floats) -> Floats:
        values = (torch.as_tensor(array).to(body.joint_template) for array in (betas, expression))
        return rest_pelvis(body, *values).cpu().numpy()

    betas = np.zeros((motion.num_people, target.num_betas), np.float32)
    expression = np.zeros((*motion.valid.shape, target.num_expressions), np.float32)
    shift = pelvis(source, motion.betas, motion.expression) - pelvis(target, betas, expression)
    transl = (motion.transl + shift).astype(np.float32)
    return replace(motion, body_model=target.name, betas=betas, expression=expression, transl=transl)


@dataclass(frozen=True)
class _Task:
    motion: BodyMotion
    source: BodyModel
    target: BodyModel
    body: LandmarkBody  # Of the target.
    followed: LandmarkTargets


def _task(motion: BodyMotion, copied: BodyMotion, source: BodyModel, target: BodyModel, times: Tensor) -> _Task:
    body = load_landmark_body(target)
    anchor = reference_at(from_motion(body, copied, times.device), _TURN, _DEPTH)
    return _Task(motion, source, target, body, followed_points(motion, load_landmark_body(source), times, anchor))


Energy = Callable[[MotionParameters, int], Tensor]


def _following(task: _Task, index: slice | Tensor) -> Energy:
    """Joints, keypoints and skin in these frames."""
    part = _frames_of(task.motion, index if isinstance(index, slice) else index.cpu().numpy())
    followed, skin = task.followed.frames(index), SurfaceTargets(task.source, task.target, part)

    def energy(variables: MotionParameters, step: int) -> Tensor:
        posed = pose_parameters(task.body, variables)
        return follow_energy(variables, posed, followed) + skin.energy(variables, step)

    return energy


def _fit_shape(task: _Task, variables: MotionParameters, steps: int, advance: Advance) -> Tensor:
    """Betas [P, B]; the poses found on the way are thrown away."""
    there = task.followed.present.sum(-1)
    parts = torch.arange(len(there), device=there.device).tensor_split(min(_SHAPE_FRAMES, len(there)))
    index = torch.stack([part[there[part].argmax()] for part in parts])
    # Frames far from each other say nothing of shaking.
    alone = replace(task, followed=replace(task.followed, times=task.followed.times * 1e3))
    fitted = minimize(
        variables.frames(index),
        _following(alone, index),
        iterations=steps,
        learning_rate=0.03,
        free=(*POSE_VARIABLES, "betas"),
        advance=advance,
    )
    return fitted.betas


def _fit_window(
    task: _Task, variables: MotionParameters, window: slice, steps: ConversionSteps, advance: Advance
) -> MotionParameters:
    """First each person alone, then what they do to each other."""
    following = _following(task, window)
    variables = minimize(
        variables, following, iterations=steps.pose, learning_rate=0.01, free=POSE_VARIABLES, advance=advance
    )
    meeting = _meeting(task, variables, window)
    return minimize(
        variables,
        lambda v, step: following(v, step) + meeting(v, step),
        iterations=steps.contact,
        learning_rate=0.01,
        free=POSE_VARIABLES,
        advance=advance,
    )


def _meeting(task: _Task, variables: MotionParameters, window: slice) -> Energy:
    """Contact that is kept, and bodies that do not cross where they did not."""
    old, new = watertight_body(task.source), watertight_body(task.target, "coarse")
    part = _frames_of(task.motion, window)
    pairs = [(a, b) for a, b, _ in find_close_pairs(part, task.source, _PAIR_REACH)]
    valid = torch.as_tensor(part.valid, device=variables.ray.device)
    touches = find_touches(motion_skin(old, part), old.faces, pairs, valid) if pairs else []
    with torch.no_grad():
        held = ContactTargets(touches, new, pose_skin(new, variables))
    crossing = ContactObjective(new, pairs, task.followed.present[window])

    def energy(v: MotionParameters, step: int) -> Tensor:
        return held.energy(v) + crossing.loss(v, _PENETRATION, step) if pairs else held.energy(v)

    return energy


def _frames_of(motion: BodyMotion, index: slice | np.ndarray) -> BodyMotion:
    names = ("rotations", "transl", "expression", "valid", "confidence")
    return motion.with_pose(**{name: getattr(motion, name)[index] for name in names})


def _to_motion(copied: BodyMotion, body: LandmarkBody, variables: MotionParameters) -> BodyMotion:
    """The copied motion with what was fitted; jaw and eyes are not among the variables and stay as they are."""
    with torch.no_grad():
        rotations, transl = variables.rotations().cpu().numpy(), variables.transl(body).cpu().numpy()
    rotations[:, :, 22:25] = copied.rotations[:, :, 22:25]
    return copied.with_pose(
        rotations=rotations.astype(np.float32),
        transl=transl.astype(np.float32),
        betas=variables.betas.cpu().numpy().astype(np.float32),
    )
