"""Keypoints of detection and crop pose over time: fused where they agree, selected by evidence where they do not."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.core.arrays import Bools, Floats
from closemesh.geometry.camera import outside_image
from closemesh.perception.types import NUM_BODY_KEYPOINTS
from closemesh.structures import NUM_KEYPOINTS3D
from closemesh.temporal import binary_posterior

AGREEMENT_DISTANCE = 0.12  # Fraction of the box diagonal; detection and crop pose that lie farther apart disagree.
_SELECTED_DISTANCE = 0.08  # The same, from which the mean of both is likely to be neither.
_MIN_CONFIDENCE = 0.1
_FACE = slice(23, 91)
_DEPENDENT = {
    KEYPOINT_INDEX["nose"]: _FACE,
    KEYPOINT_INDEX["left_ankle"]: slice(17, 20),
    KEYPOINT_INDEX["right_ankle"]: slice(20, 23),
    KEYPOINT_INDEX["left_wrist"]: slice(91, 112),
    KEYPOINT_INDEX["right_wrist"]: slice(112, 133),
}
"""Feet, hands and face exist in the crop pose alone; they are right where its ankle, wrist or nose is."""

# Logarithmic odds that the crop pose is right where both differ.
_PRIOR = 0.5
_AGREEMENT_WEIGHT = 4.0  # Per unit of agreement of the whole crop pose with the whole detection.
_USUAL_AGREEMENT = 0.7
_CONFIDENCE_WEIGHT = 1.0  # Per unit of the logarithm of the ratio of confidences.
_CLAIMED = 1.5  # Where one of both lies on the same limb of a partner.
_CLAIM_DISTANCE = 0.04  # Fraction of the box diagonal: about the thickness of an arm.
_OUTSIDE = 3.0  # Where the crop pose leaves the image: the detector cannot place a keypoint outside.
_STEP = 0.03  # Fraction of the box diagonal: usual motion from frame to frame.
_MAX_STEP_COST = 3.0
_KINDS = ([7, 8, 9, 10], [13, 14, 15, 16])  # Arms and legs: keypoints that snap to a partner's.


@dataclass(frozen=True)
class KeypointCandidates:
    """Detections and crop poses of all people over the clip."""

    detected: Floats
    """[T, P, 17, 3] x, y pixels and confidence of the person detector; confidence 0 without a detection."""
    crop: Floats
    """[T, P, 133, 3] the same of the crop network; confidence 0 without a crop pose."""
    agreement: Floats
    """[T, P] 0..1 agreement of the whole crop pose with the whole detection."""
    diagonal: Floats
    """[T, P] of the box, pixels."""
    size: tuple[int, int]
    """Width and height of the image, pixels."""


@dataclass(frozen=True)
class FusedKeypoints:
    """One keypoint of each kind per person and frame."""

    keypoints: Floats
    """[T, P, 133, 3] x, y pixels and confidence."""
    disagreement: Floats
    """[T, P, 17] pixels between both, at most AGREEMENT_DISTANCE; 0 where only one has the keypoint."""
    doubt: Floats
    """[T, P, 17] pixels that the keypoint may be off: the distance between both where they are averaged, else the same
    times the root of the probability that the other one is right."""
    crop_probability: Floats
    """[T, P, 17] probability that the crop pose is right; 1 where both agree."""


def fuse_over_time(candidates: KeypointCandidates) -> FusedKeypoints:
    """The mean of both where they agree; else the likelier one, by confidence, motion, partners and image border."""
    detected, body = candidates.detected, candidates.crop[:, :, :NUM_BODY_KEYPOINTS]
    diagonal = np.maximum(candidates.diagonal, 1)[..., None]
    given_detected, given_body = detected[..., 2] > _MIN_CONFIDENCE, body[..., 2] > 0
    distance = np.linalg.norm(body[..., :2] - detected[..., :2], axis=-1)  # [T, P, 17]
    both = given_detected & given_body
    differ = both & (distance > _SELECTED_DISTANCE * diagonal)
    probability = np.where(differ, _crop_probability(candidates, both), 1.0)
    probability = np.where(given_body, probability, 0.0)
    from_crop = probability > 0.5
    keypoints = np.zeros_like(candidates.crop)
    keypoints[:, :, :NUM_BODY_KEYPOINTS] = np.where(
        (both & ~differ)[..., None], _weighted_mean(detected, body), np.where(from_crop[..., None], body, detected)
    )
    for joint, dependent in _DEPENDENT.items():
        keypoints[:, :, dependent] = candidates.crop[:, :, dependent]
        keypoints[:, :, dependent, 2] *= from_crop[..., joint, None]
    wrong = np.where(from_crop, 1 - probability, probability)
    limit = AGREEMENT_DISTANCE * diagonal
    return FusedKeypoints(
        keypoints=keypoints,
        disagreement=np.where(both, np.minimum(distance, limit), 0),
        doubt=np.where(differ, np.sqrt(wrong) * distance, np.where(both, distance, 0)),
        crop_probability=probability,
    )


def confirmed_keypoints3d(keypoints3d: Floats, fused: FusedKeypoints) -> Floats:
    """[T, P, 23, 4] 3D keypoints with their confidence times the probability that the crop pose is right.

    keypoints3d: [T, P, 23, 4] of the crop poses.
    """
    confirmed = keypoints3d.copy()
    confirmed[:, :, :NUM_BODY_KEYPOINTS, 3] *= fused.crop_probability
    for joint, dependent in _DEPENDENT.items():
        if dependent.stop <= NUM_KEYPOINTS3D:
            confirmed[:, :, dependent, 3] *= fused.crop_probability[..., joint, None]
    return confirmed


def _weighted_mean(a: Floats, b: Floats) -> Floats:
    """[T, P, 17, 3] mean weighted by confidence, with the larger confidence."""
    weight = b[..., 2:] / (a[..., 2:] + b[..., 2:] + 1e-9)
    mean = a[..., :2] + weight * (b[..., :2] - a[..., :2])
    return np.concatenate([mean, np.maximum(a[..., 2:], b[..., 2:])], -1)


def _crop_probability(candidates: KeypointCandidates, both: Bools) -> Floats:
    """[T, P, 17] probability that the crop pose is right, by forward-backward over the frames with both [T, P, 17]."""
    detected, body = candidates.detected, candidates.crop[:, :, :NUM_BODY_KEYPOINTS]
    odds = _PRIOR + _AGREEMENT_WEIGHT * (candidates.agreement[..., None] - _USUAL_AGREEMENT)
    confidence = np.log(np.maximum(body[..., 2], 0.05) / np.maximum(detected[..., 2], 0.05))
    odds = odds + _CONFIDENCE_WEIGHT * confidence
    odds = odds + _CLAIMED * (_claims(detected, candidates, both) - _claims(body, candidates, both))
    odds = odds + _OUTSIDE * outside_image(body[..., :2], candidates.size)
    points = np.stack([detected[..., :2], body[..., :2]], axis=-2)  # [T, P, 17, 2 candidates, 2]
    step = points[1:, ..., :, None, :] - points[:-1, ..., None, :, :]  # [to, from]
    relative = np.linalg.norm(step, axis=-1) / (_STEP * np.maximum(candidates.diagonal[1:], 1))[..., None, None, None]
    cost = np.minimum(0.5 * relative**2, _MAX_STEP_COST)
    cost = cost * (both[1:] & both[:-1])[..., None, None]
    return binary_posterior(np.where(both, odds, 0), cost)


def _claims(points: Floats, candidates: KeypointCandidates, both: Bools) -> Floats:
    """[T, P, 17] 0..1 how much of each of points [T, P, 17, 3] is on the same kind of limb point of a partner.

    A partner's point counts where detection and crop pose agree on it.
    """
    T, P = points.shape[:2]
    claims = np.zeros((T, P, NUM_BODY_KEYPOINTS))
    body = candidates.crop[:, :, :NUM_BODY_KEYPOINTS]
    middle = (candidates.detected[..., :2] + body[..., :2]) / 2
    apart = np.linalg.norm(candidates.detected[..., :2] - body[..., :2], axis=-1)
    diagonal = np.maximum(candidates.diagonal, 1)
    agreed = both & (apart < _SELECTED_DISTANCE * diagonal[..., None])
    for p, q in itertools.permutations(range(P), 2):
        for kind in _KINDS:
            own, other = points[:, p][:, kind, None, :2], middle[:, q][:, None, kind]  # [T, 4, 1, 2], [T, 1, 4, 2]
            distance = np.linalg.norm(own - other, axis=-1)
            distance = np.where(agreed[:, q][:, None, kind], distance, np.inf).min(-1)  # [T, 4]
            near = np.exp(-0.5 * (distance / (_CLAIM_DISTANCE * diagonal[:, p, None])) ** 2)
            claims[:, p, kind] = np.maximum(claims[:, p, kind], near)
    return claims
