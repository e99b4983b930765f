"""The losses of one person against keypoint tracks, the phases of a fit, and conversion to and from BodyMotion."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from closemesh.body.landmarks import LandmarkBody, PosedLandmarks
from closemesh.body.model import BodyModel
from closemesh.body.motion import MotionParameters, pose_parameters
from closemesh.core.progress import Advance
from closemesh.fitting.keypoint_tracks import NUM_POINTS, KeypointTracks, reference_loss
from closemesh.fitting.optimizer import SIGMAS, Phase, Weights, minimize
from closemesh.geometry.camera import project
from closemesh.geometry.rotations import matrix_to_6d, matrix_to_axis_angle
from closemesh.losses.joint_limits import joint_limit_excess
from closemesh.losses.keypoints import (
    inside_border,
    limb_direction_error,
    limb_directions,
    pseudo_huber,
    reprojection,
)
from closemesh.losses.physics import acceleration
from closemesh.losses.pose_prior import PosePrior, pose_prior_nll
from closemesh.structures import BodyMotion

ACCELERATION_OUTLIER = 2.0  # Sigmas beyond which it costs only linearly: a landing or a blow is not smoothed away.
POSE_PARAMETERS = ("root", "body_pose", "pelvis_ray", "log_depth")
BODY_KEYPOINTS = 17
_INLIER_SIGMAS = 3.0
_CHUNK = 64  # Frames posed at a time.


@dataclass(frozen=True)
class FitModel:
    """The body and the pose prior of a fit."""

    body: LandmarkBody
    prior: PosePrior


def image_loss(posed: PosedLandmarks, tracks: KeypointTracks, weights: Weights) -> Tensor:
    """Weighted loss [T, P] of keypoints and limb directions against the tracks."""
    projected = project(posed.keypoints, tracks.focal, tracks.principal_point)
    keypoints = reprojection(projected, tracks.points2d, tracks.inv_sigma, weights.outlier_sigmas)
    directions = limb_directions(posed.keypoints[..., :NUM_POINTS, :])
    limbs = limb_direction_error(directions, tracks.limb_directions, SIGMAS.limb) * tracks.limb_weights
    loss = weights.reprojection * keypoints.sum(-1) + weights.limbs * limbs.sum(-1)
    if tracks.border is not None:
        loss = loss + weights.reprojection * inside_border(projected[..., :NUM_POINTS, :], tracks.border).sum(-1)
    return loss


def pose_loss(model: FitModel, parameters: MotionParameters, weights: Weights) -> Tensor:
    """Weighted loss [T, P] of unlikely poses and of joints beyond their limits."""
    limits = (joint_limit_excess(parameters.body_pose) / SIGMAS.limit).square().sum((-1, -2))
    return weights.pose_prior * pose_prior_nll(model.prior, parameters.body_pose) + weights.limits * limits


def smoothness_loss(posed: PosedLandmarks, tracks: KeypointTracks, weights: Weights) -> Tensor:
    """Weighted loss [T - 2, P] of accelerations: joints relative to the pelvis, and the pelvis."""
    pelvis = posed.joints[..., :1, :]
    sigmas = pelvis.new_tensor(SIGMAS.acceleration)[:, None]
    joints = acceleration(posed.joints[..., 1:22, :] - pelvis, tracks.times) / sigmas
    root = acceleration(pelvis[..., 0, :], tracks.times) / SIGMAS.root_acceleration
    joint_loss = pseudo_huber(joints.square().sum(-1), ACCELERATION_OUTLIER).sum(-1)
    root_loss = pseudo_huber(root.square().sum(-1), ACCELERATION_OUTLIER)
    # An absent person holds a pose; the return is no movement.
    present = tracks.present[2:] & tracks.present[1:-1] & tracks.present[:-2]
    return (weights.smooth_joints * joint_loss + weights.smooth_root * root_loss) * present


def frame_loss(
    model: FitModel, parameters: MotionParameters, posed: PosedLandmarks, tracks: KeypointTracks, weights: Weights
) -> Tensor:
    """Weighted loss [T, P] of each person in each frame independently."""
    loss = image_loss(posed, tracks, weights) * tracks.detected + pose_loss(model, parameters, weights)
    if tracks.reference is not None and weights.reference > 0:
        loss = loss + weights.reference * reference_loss(parameters, tracks.reference)
    return loss


def single_person_loss(
    model: FitModel, parameters: MotionParameters, posed: PosedLandmarks, tracks: KeypointTracks, weights: Weights
) -> Tensor:
    """The sum [] of all terms that do not couple people."""
    loss = frame_loss(model, parameters, posed, tracks, weights).sum()
    loss = loss + weights.shape * parameters.betas.square().sum()
    if len(tracks.times) > 2 and (weights.smooth_joints > 0 or weights.smooth_root > 0):
        loss = loss + smoothness_loss(posed, tracks, weights).sum()
    return loss


def run_phases(
    model: FitModel,
    parameters: MotionParameters,
    tracks: KeypointTracks,
    phases: Sequence[Phase],
    iterations: int,
    advance: Advance,
    free: Collection[str] = POSE_PARAMETERS,
) -> MotionParameters:
    """Parameters after all phases on `single_person_loss`; each phase takes its fraction of `iterations`."""
    for phase in phases:
        parameters = minimize(
            parameters,
            lambda p, _, weights=phase.weights: single_person_loss(
                model, p, pose_parameters(model.body, p), tracks, weights
            ),
            iterations=round(iterations * phase.fraction),
            learning_rate=phase.learning_rate,
            free=free,
            advance=advance,
        )
    return parameters


def to_motion(
    body: BodyModel, landmarks: LandmarkBody, parameters: MotionParameters, tracks: KeypointTracks
) -> BodyMotion:
    """The motion of `body`; `landmarks` are the points of the same body that the fit used."""
    with torch.no_grad():
        frames, people = parameters.log_depth.shape
        return BodyMotion(
            body_model=body.name,
            betas=_numpy(parameters.betas),
            rotations=_numpy(parameters.rotations()),
            transl=_numpy(parameters.transl(landmarks)),
            expression=np.zeros((frames, people, body.num_expressions), np.float32),
            valid=tracks.present.cpu().numpy(),
            confidence=_numpy(pose_confidence(landmarks, parameters, tracks)),
        )


def from_motion(body: LandmarkBody, motion: BodyMotion, device: torch.device | str) -> MotionParameters:
    """The parameters that give `motion` on `body`."""
    rotations = torch.as_tensor(motion.rotations, dtype=torch.float32, device=device)
    betas = torch.as_tensor(motion.betas, dtype=torch.float32, device=device)
    axis_angle = matrix_to_axis_angle(rotations[..., 1:, :, :])
    at_origin = MotionParameters(
        root=matrix_to_6d(rotations[..., 0, :, :]),
        body_pose=axis_angle[..., :21, :],
        jaw=axis_angle[..., 21, :],
        hand_pose=axis_angle[..., 24:, :],
        pelvis_ray=torch.zeros_like(rotations[..., 0, 0, :2]),
        log_depth=torch.zeros_like(rotations[..., 0, 0, 0]),
        betas=betas,
    )
    rest_pelvis = at_origin.pelvis() - at_origin.transl(body)  # [T, P, 3]
    pelvis = torch.as_tensor(motion.transl, dtype=torch.float32, device=device) + rest_pelvis
    return at_origin.with_tensors(pelvis_ray=pelvis[..., :2] / pelvis[..., 2:], log_depth=pelvis[..., 2].log())


def pose_confidence(body: LandmarkBody, parameters: MotionParameters, tracks: KeypointTracks) -> Tensor:
    """[T, P] fraction of the 17 body keypoints that are detected and within three sigmas of the body's."""
    fractions = []
    for frames in torch.arange(len(tracks.times)).split(_CHUNK):
        index = slice(int(frames[0]), int(frames[-1]) + 1)
        part = tracks.frames(index)
        posed = pose_parameters(body, parameters.frames(index))
        projected = project(posed.keypoints, part.focal, part.principal_point)
        distance = (projected - part.points2d).norm(dim=-1) * part.inv_sigma
        inlier = (part.inv_sigma > 0) & (distance < _INLIER_SIGMAS)
        fractions.append(inlier[..., :BODY_KEYPOINTS].float().mean(-1) * part.detected)
    return torch.cat(fractions)


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float32)
