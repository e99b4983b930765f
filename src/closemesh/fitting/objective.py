"""The energies of bodies against the evidence, term by term and frame by frame."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from closemesh.body.points import PointBody, PosedPoints
from closemesh.body.variables import MotionVariables
from closemesh.energy.limbs import limb_direction_error, limb_directions
from closemesh.energy.limits import beyond_limits
from closemesh.energy.pose_prior import PosePrior, pose_surprise
from closemesh.energy.reprojection import reprojection
from closemesh.energy.robust import pseudo_huber
from closemesh.energy.smoothness import acceleration
from closemesh.fitting.anchor import anchor_energy
from closemesh.fitting.evidence import Evidence
from closemesh.fitting.schedule import SIGMAS, Weights
from closemesh.geometry.camera import project

ACCELERATION_OUTLIER = 2.0  # Sigmas beyond which it costs only linearly: a landing or a blow is not smoothed away.


@dataclass(frozen=True)
class Subject:
    """What a fit knows about bodies in general."""

    body: PointBody
    prior: PosePrior


def image_energy(posed: PosedPoints, evidence: Evidence, weights: Weights) -> Tensor:
    """Weighted energy [T, P] of keypoints and limb directions against what was seen."""
    projected = project(posed.keypoints, evidence.focal, evidence.centre)
    pixels = reprojection(projected, evidence.points, evidence.inverse_sigmas)
    directions = limb_directions(posed.keypoints[..., :23, :])
    limbs = limb_direction_error(directions, evidence.limb_directions, SIGMAS.limb) * evidence.limb_weights
    return weights.reprojection * pixels.sum(-1) + weights.limbs * limbs.sum(-1)


def pose_energy(subject: Subject, variables: MotionVariables, weights: Weights) -> Tensor:
    """Weighted energy [T, P] of how unlikely, or beyond the joints' limits, each pose is."""
    limits = (beyond_limits(variables.body_pose) / SIGMAS.limit).square().sum((-1, -2))
    return weights.pose_prior * pose_surprise(subject.prior, variables.body_pose) + weights.limits * limits


def motion_energy(posed: PosedPoints, evidence: Evidence, weights: Weights) -> Tensor:
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
    subject: Subject, variables: MotionVariables, posed: PosedPoints, evidence: Evidence, weights: Weights
) -> Tensor:
    """Weighted energy [T, P] of each person in each frame by itself."""
    energy = image_energy(posed, evidence, weights) * evidence.seen + pose_energy(subject, variables, weights)
    if evidence.anchor is not None and weights.anchor > 0:
        energy = energy + weights.anchor * anchor_energy(variables, evidence.anchor)
    return energy


def single_person_loss(
    subject: Subject, variables: MotionVariables, posed: PosedPoints, evidence: Evidence, weights: Weights
) -> Tensor:
    """Everything that concerns each person alone, as one number."""
    loss = frame_energy(subject, variables, posed, evidence, weights).sum()
    loss = loss + weights.shape * variables.betas.square().sum()
    if len(evidence.times) > 2 and (weights.smooth_joints > 0 or weights.smooth_root > 0):
        loss = loss + motion_energy(posed, evidence, weights).sum()
    return loss
