"""FitModel, loss of one person, phases run, conversion to and from BodyMotion.

The energies of bodies against the evidence, term by term and frame by frame.

Runs the phases of a schedule on a person-by-person objective.

From the variables of a fit to the record that travels, and back.
"""

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
from closemesh.fitting.keypoint_tracks import KeypointTracks, anchor_energy
from closemesh.fitting.optimizer import SIGMAS, Phase, Weights, minimize
from closemesh.geometry.camera import project
from closemesh.geometry.rotations import matrix_to_6d, matrix_to_axis_angle
from closemesh.losses.joint_limits import joint_limit_excess
from closemesh.losses.keypoints import limb_direction_error, limb_directions, pseudo_huber, reprojection
from closemesh.losses.physics import acceleration
from closemesh.losses.pose_prior import PosePrior, pose_prior_nll
from closemesh.structures import BodyMotion

ACCELERATION_OUTLIER = 2.0  # Sigmas beyond which it costs only linearly: a landing or a blow is not smoothed away.


@dataclass(frozen=True)
class FitModel:
    """What a fit knows about bodies in general."""

    body: LandmarkBody
    prior: PosePrior


def image_energy(posed: PosedLandmarks, evidence: KeypointTracks, weights: Weights) -> Tensor:
    """Weighted energy [T, P] of keypoints and limb directions against what was seen."""
    projected = project(posed.keypoints, evidence.focal, evidence.centre)
    pixels = reprojection(projected, evidence.points, evidence.inverse_sigmas)
    directions = limb_directions(posed.keypoints[..., :23, :])
    limbs = limb_direction_error(directions, evidence.limb_directions, SIGMAS.limb) * evidence.limb_weights
    return weights.reprojection * pixels.sum(-1) + weights.limbs * limbs.sum(-1)


def pose_energy(subject: FitModel, variables: MotionParameters, weights: Weights) -> Tensor:
    """Weighted energy [T, P] of how unlikely, or beyond the joints' limits, each pose is."""
    limits = (joint_limit_excess(variables.body_pose) / SIGMAS.limit).square().sum((-1, -2))
    return weights.pose_prior * pose_prior_nll(subject.prior, variables.body_pose) + weights.limits * limits


def motion_energy(posed: PosedLandmarks, evidence: KeypointTracks, weights: Weights) -> Tensor:
    """Weighted energy [T - 2, P] of how the people move: limbs against the pelvis, and the pelvis itself."""
    pelvis = posed.joints[..., :1, :]
    limbs = acceleration(posed.joints[..., 1:22, :] - pelvis, evidence.times) / SIGMAS.acceleration
    root = acceleration(pelvis[..., 0, :], evidence.times) / SIGMAS.root_acceleration
    limbs_energy = pseudo_huber(limbs.square().sum(-1), ACCELERATION_OUTLIER).sum(-1)
    root_energy = pseudo_huber(root.square().sum(-1), ACCELERATION_OUTLIER)
    # A person who is away holds a pose; coming back is no movement.
    present = evidence.present[2:] * evidence.present[1:-1] * evidence.present[:-2]
    return (weights.smooth_joints * limbs_energy + weights.smooth_root * root_energy) * present


def frame_energy(
    subject: FitModel, variables: MotionParameters, posed: PosedLandmarks, evidence: KeypointTracks, weights: Weights
) -> Tensor:
    """Weighted energy [T, P] of each person in each frame by itself."""
    energy = image_energy(posed, evidence, weights) * evidence.seen + pose_energy(subject, variables, weights)
    if evidence.anchor is not None and weights.anchor > 0:
        energy = energy + weights.anchor * anchor_energy(variables, evidence.anchor)
    return energy


def single_person_loss(
    subject: FitModel, variables: MotionParameters, posed: PosedLandmarks, evidence: KeypointTracks, weights: Weights
) -> Tensor:
    """Everything that concerns each person alone, as one number."""
    loss = frame_energy(subject, variables, posed, evidence, weights).sum()
    loss = loss + weights.shape * variables.betas.square().sum()
    if len(evidence.times) > 2 and (weights.smooth_joints > 0 or weights.smooth_root > 0):
        loss = loss + motion_energy(posed, evidence, weights).sum()
    return loss


POSE_VARIABLES = ("root", "body_pose", "pelvis_ray", "log_depth")


def run_phases(
    subject: FitModel,
    variables: MotionParameters,
    evidence: KeypointTracks,
    phases: Sequence[Phase],
    iterations: int,
    advance: Advance,
    free: Collection[str] = POSE_VARIABLES,
) -> MotionParameters:
    """Variables after every phase; `iterations` are divided among them by their shares."""
    for phase in phases:
        variables = minimize(
            variables,
            lambda v, _, weights=phase.weights: single_person_loss(
                subject, v, pose_parameters(subject.body, v), evidence, weights
            ),
            iterations=round(iterations * phase.fraction),
            learning_rate=phase.learning_rate,
            free=free,
            advance=advance,
        )
    return variables


BODY_KEYPOINTS = 17
_INLIER_SIGMAS = 3.0


def to_motion(
    body: BodyModel, fitted: LandmarkBody, variables: MotionParameters, evidence: KeypointTracks
) -> BodyMotion:
    """The motion of `body`, named in the record, whose fit ran on its points `fitted`."""
    with torch.no_grad():
        frames, people = variables.log_depth.shape
        return BodyMotion(
            body_model=body.name,
            betas=_numpy(variables.betas),
            rotations=_numpy(variables.rotations()),
            transl=_numpy(variables.transl(fitted)),
            expression=np.zeros((frames, people, body.num_expressions), np.float32),
            valid=evidence.present.cpu().numpy() > 0,
            confidence=_numpy(pose_confidence(fitted, variables, evidence)),
        )


def from_motion(body: LandmarkBody, motion: BodyMotion, device: torch.device | str) -> MotionParameters:
    """The variables that give this motion."""
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


def pose_confidence(
    body: LandmarkBody, variables: MotionParameters, evidence: KeypointTracks, chunk: int = 64
) -> Tensor:
    """[T, P] share of the 17 body keypoints that were seen and that the body meets within three sigmas."""
    shares = []
    for frames in torch.arange(len(evidence.times)).split(chunk):
        index = slice(int(frames[0]), int(frames[-1]) + 1)
        part = evidence.frames(index)
        projected = project(pose_parameters(body, variables.frames(index)).keypoints, part.focal, part.centre)
        misses = (projected - part.points).norm(dim=-1) * part.inverse_sigmas
        met = (part.inverse_sigmas > 0) & (misses < _INLIER_SIGMAS)
        shares.append(met[..., :BODY_KEYPOINTS].float().mean(-1) * part.seen)
    return torch.cat(shares)


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float32)
