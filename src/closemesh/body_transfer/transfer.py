"""Transfer of a motion to another body of the SMPL-X layout: copy rotations and pelvis, then fit shape and pose."""

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
    find_contact_pairs,
    landmark_loss,
    landmark_targets,
    motion_vertices,
    parameter_vertices,
)
from closemesh.contact.measure import find_close_pairs
from closemesh.contact.watertight import watertight_body
from closemesh.core.arrays import Floats
from closemesh.core.progress import Advance, Progress
from closemesh.fitting.keypoint_tracks import reference_at
from closemesh.fitting.objective import POSE_PARAMETERS, from_motion
from closemesh.fitting.optimizer import Weights, minimize
from closemesh.optimization.joint_objective import ContactObjective
from closemesh.structures import BodyMotion
from closemesh.temporal import crossfade_window, split_windows

_SHAPE_FRAMES = 12  # Evenly from the clip.
_WINDOW, _OVERLAP = 64, 16
_ROTATION_STD, _DEPTH_STD = 0.15, 0.05  # Radians, fraction of the distance: change from the copied pose.
_PENETRATION = Weights(penetration=1.0)
_MAX_PAIR_DISTANCE = 0.1  # Meters between two people whose contact is kept.


@dataclass(frozen=True)
class TransferSteps:
    """Optimizer steps."""

    shape: int = 120
    pose: int = 60
    contact: int = 60


@dataclass(frozen=True)
class TransferResult:
    """The motion on the target body, camera frame."""

    copied: BodyMotion
    """Rotations and pelvis of the source, mean shape."""
    fitted: BodyMotion


def transfer_motion(
    motion: BodyMotion,
    source: BodyModel,
    target: BodyModel,
    times: Floats,
    device: torch.device,
    progress: Progress,
    steps: TransferSteps | None = None,
) -> TransferResult:
    """`motion` of the body `source` on the body `target`, camera frame; times [T] seconds.

    Joints, keypoints, surface and contact of the target body are fitted to those of the source. Expressions become
    neutral: the expression spaces of two bodies do not correspond.
    """
    steps, source, target = steps or TransferSteps(), source.to(device), target.to(device)
    copied = copy_pose(motion, source, target)
    task = _task(motion, copied, source, target, torch.as_tensor(times, dtype=torch.float32, device=device))
    windows = split_windows(len(motion.transl), _WINDOW, _OVERLAP)
    total = steps.shape + len(windows) * (steps.pose + steps.contact)
    with progress.task(f"transfer to {target.name}", total) as advance:
        variables = from_motion(task.body, copied, device)
        variables = variables.with_tensors(betas=_fit_shape(task, variables, steps.shape, advance))
        for window in windows:
            fitted = _fit_window(task, variables.frames(window), window, steps, advance)
            variables = crossfade_window(variables, fitted, window, _OVERLAP)
    return TransferResult(copied, _to_motion(copied, task.body, variables))


def copy_pose(motion: BodyMotion, source: BodyModel, target: BodyModel) -> BodyMotion:
    """The same rotations and pelvis positions on the mean shape of `target`."""

    def pelvis(body: BodyModel, betas: Floats, expression: Floats) -> Floats:
        like = body.joint_template
        return rest_pelvis(body, torch.as_tensor(betas).to(like), torch.as_tensor(expression).to(like)).cpu().numpy()

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
    landmarks: LandmarkTargets


def _task(motion: BodyMotion, copied: BodyMotion, source: BodyModel, target: BodyModel, times: Tensor) -> _Task:
    body = load_landmark_body(target)
    reference = reference_at(from_motion(body, copied, times.device), _ROTATION_STD, _DEPTH_STD)
    landmarks = landmark_targets(motion, load_landmark_body(source), times, reference)
    return _Task(motion, source, target, body, landmarks)


Loss = Callable[[MotionParameters, int], Tensor]


def _single_person_loss(task: _Task, index: slice | Tensor) -> Loss:
    """Loss of joints, keypoints and surface in these frames."""
    part = task.motion.frames(index if isinstance(index, slice) else index.cpu().numpy())
    landmarks, surface = task.landmarks.frames(index), SurfaceTargets(task.source, task.target, part)

    def loss(variables: MotionParameters, step: int) -> Tensor:
        posed = pose_parameters(task.body, variables)
        return landmark_loss(variables, posed, landmarks) + surface.loss(variables, step)

    return loss


def _fit_shape(task: _Task, variables: MotionParameters, steps: int, advance: Advance) -> Tensor:
    """Betas [P, B] from some frames; their poses are fitted too and discarded."""
    present = task.landmarks.present.sum(-1)
    parts = torch.arange(len(present), device=present.device).tensor_split(min(_SHAPE_FRAMES, len(present)))
    index = torch.stack([part[present[part].argmax()] for part in parts])
    # Acceleration between distant frames means nothing: longer time steps make it vanish.
    static = replace(task, landmarks=replace(task.landmarks, times=task.landmarks.times * 1e3))
    fitted = minimize(
        variables.frames(index),
        _single_person_loss(static, index),
        iterations=steps,
        learning_rate=0.03,
        free=(*POSE_PARAMETERS, "betas"),
        advance=advance,
    )
    return fitted.betas


def _fit_window(
    task: _Task, variables: MotionParameters, window: slice, steps: TransferSteps, advance: Advance
) -> MotionParameters:
    """Parameters fitted without, then with the terms between people."""
    single = _single_person_loss(task, window)
    variables = minimize(
        variables, single, iterations=steps.pose, learning_rate=0.01, free=POSE_PARAMETERS, advance=advance
    )
    between = _contact_loss(task, variables, window)
    return minimize(
        variables,
        lambda v, step: single(v, step) + between(v, step),
        iterations=steps.contact,
        learning_rate=0.01,
        free=POSE_PARAMETERS,
        advance=advance,
    )


def _contact_loss(task: _Task, variables: MotionParameters, window: slice) -> Loss:
    """Loss that keeps contact and prevents new penetration."""
    old, new = watertight_body(task.source), watertight_body(task.target, "coarse")
    part = task.motion.frames(window)
    pairs = [(a, b) for a, b, _ in find_close_pairs(part, task.source, _MAX_PAIR_DISTANCE)]
    valid = torch.as_tensor(part.valid, device=variables.pelvis_ray.device)
    found = find_contact_pairs(motion_vertices(old, part), old.faces, pairs, valid) if pairs else []
    with torch.no_grad():
        contacts = ContactTargets(found, new, parameter_vertices(new, variables))
    penetration = ContactObjective(new, pairs, task.landmarks.present[window])

    def loss(v: MotionParameters, step: int) -> Tensor:
        return contacts.loss(v) + penetration.loss(v, _PENETRATION, step) if pairs else contacts.loss(v)

    return loss


def _to_motion(copied: BodyMotion, body: LandmarkBody, variables: MotionParameters) -> BodyMotion:
    """The copied motion with the fitted values; jaw and eyes are not fitted."""
    with torch.no_grad():
        rotations, transl = variables.rotations().cpu().numpy(), variables.transl(body).cpu().numpy()
    rotations[:, :, 22:25] = copied.rotations[:, :, 22:25]
    return copied.with_pose(
        rotations=rotations.astype(np.float32),
        transl=transl.astype(np.float32),
        betas=variables.betas.cpu().numpy().astype(np.float32),
    )
