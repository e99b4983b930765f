"""Uncertainty of imported poses, estimated from their agreement with the lifter and with themselves over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from closemesh.body.skeleton import JOINT_INDEX, KEYPOINT_INDEX
from closemesh.core.arrays import Bools, Floats
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.structures import NUM_BODY_JOINTS, Observations

ROTATION_STD, LATERAL_STD, DEPTH_STD = 0.2, 0.02, 0.06
"""What is expected before any evidence: radians about each axis, meters across the viewing ray, fraction of the depth.
These values match the joint errors of 5 to 10 cm that papers report."""
ROTATION_LIMITS = (0.03, 1.0)
PLACE_LIMITS = (0.005, 0.5)

UNSEEN_FACTOR = 1.5  # Errors of joints without a confident keypoint, relative to others.
_PRIOR_LOG_STD, _PLACE_PRIOR_LOG_STD = 1.0, 0.5  # Of an expected standard deviation.
_INDEPENDENT_SECONDS = 0.4  # Errors repeat from frame to frame; frames at this distance count as independent.
_OUTLIER = 12.0  # Squared standard deviations over three axes; one in a hundred frames exceeds it by chance.
_ROUNDS = 3
_STEPS = 60  # Of the search for a standard deviation.
_SPIKE = 3.0  # Times the usual deviation from the neighbors in time.
_MIN_CONFIDENCE = 0.3

# The keypoint that shows a joint's rotation: the end of the limb that it turns.
_SHOWN_BY = {
    "hip": "knee",
    "knee": "ankle",
    "ankle": "big_toe",
    "shoulder": "elbow",
    "elbow": "wrist",
    "wrist": "wrist",
}


@dataclass(frozen=True)
class Gaussian:
    """Values of one kind with a standard deviation each."""

    mean: Floats
    std: Floats


@dataclass(frozen=True)
class Evidence:
    """What is expected of a standard deviation, and how much the frames of a clip count against it."""

    expected: float
    prior_log_std: float
    limits: tuple[float, float]
    axes: int
    independent: float
    """Independent frames in each frame."""


def unseen_joints(observations: Observations) -> Bools:
    """[T, P, 22] True for joints that no confident keypoint shows; never for the trunk and the head."""
    known = observations.keypoints[..., 2] >= _MIN_CONFIDENCE  # [T, P, 133]
    unseen = np.zeros((*observations.detected.shape, NUM_BODY_JOINTS), bool)
    for side in ("left", "right"):
        for joint, keypoint in _SHOWN_BY.items():
            unseen[..., JOINT_INDEX[f"{side}_{joint}"]] = ~known[..., KEYPOINT_INDEX[f"{side}_{keypoint}"]]
    return unseen


def rotation_differences(a: Floats, b: Floats) -> Floats:
    """Rotation vectors [..., 3] that turn a [..., 3, 3] into b [..., 3, 3], in the axes of a."""
    relative = np.swapaxes(a, -1, -2).astype(np.float64) @ b
    return matrix_to_axis_angle(torch.as_tensor(relative)).numpy()


def rotation_std(imported: Floats, own: Gaussian, valid: Bools, unseen: Bools, times: Floats) -> Floats:
    """Standard deviations [T, P, 22] of imported rotations [T, P, 22, 3, 3], radians about each axis.

    own: rotations of the lifter and their standard deviations [T, P, 22]. valid [T, P]: frames with an imported pose.
    unseen [T, P, 22]. times [T] seconds. One value per joint over the clip, wider where the joint is unseen and in
    frames that stand out from the lifter or from their neighbors in time.
    """
    factor = np.where(unseen, UNSEEN_FACTOR, 1.0)
    squared = np.square(rotation_differences(imported, own.mean)).mean(-1)  # [T, P, 22]
    counted = np.broadcast_to(valid[..., None], squared.shape)
    evidence = Evidence(ROTATION_STD, _PRIOR_LOG_STD, ROTATION_LIMITS, 3, _independent(times))
    std = likely_std(squared, own.std, factor, counted, evidence)
    variance = np.square(std * factor)
    outlier = 3 * squared > _OUTLIER * (variance + own.std**2)
    variance = np.where(outlier, np.maximum(variance, squared - own.std**2), variance)
    variance = variance + _spikes(imported, valid)
    return np.clip(np.sqrt(variance), *ROTATION_LIMITS).astype(np.float32)


def likely_std(
    squared: Floats,
    own_std: Floats,
    factor: Floats,
    counted: Bools,
    evidence: Evidence,
) -> Floats:
    """The most probable standard deviation [P, J] of the imported values.

    The difference of two independent estimates has the sum of their variances. squared [T, P, J]: the squared
    difference, mean over the axes. own_std [T, P, J] of the other estimate. factor [T, P, J]: that of the imported
    value relative to the result. Frames that are not counted [T, P, J], and frames far from both, have no effect.
    """
    kept, std = counted, np.full(squared.shape[1:], evidence.expected)
    for _ in range(_ROUNDS):
        least = np.full(std.shape, np.inf)
        for trial in np.geomspace(*evidence.limits, _STEPS):
            variance = np.square(trial * factor) + np.square(own_std)
            cost = evidence.axes / 2 * (np.log(variance) + squared / variance)
            prior = np.square(np.log(trial / evidence.expected) / evidence.prior_log_std) / 2
            cost = evidence.independent * np.where(kept, cost, 0).sum(0) + prior
            std, least = np.where(cost < least, trial, std), np.minimum(cost, least)
        kept = counted & (evidence.axes * squared <= _OUTLIER * (np.square(std * factor) + np.square(own_std)))
        kept = np.where(kept.sum(0) * 2 >= counted.sum(0), kept, counted)
    return std


def _independent(times: Floats) -> float:
    """Independent frames in each frame."""
    step = float(np.median(np.diff(times))) if len(times) > 1 else _INDEPENDENT_SECONDS
    return min(step / _INDEPENDENT_SECONDS, 1.0)


def _spikes(rotations: Floats, valid: Bools) -> Floats:
    """Variance [T, P, 22] that frames add which stand out from the two frames beside them."""
    variance = np.zeros(rotations.shape[:3])
    if len(rotations) > 2:
        before = rotation_differences(rotations[1:-1], rotations[:-2])
        after = rotation_differences(rotations[1:-1], rotations[2:])
        squared = np.square((before + after) / 2).mean(-1)
        usual = np.median(squared, axis=0)
        known = (valid[1:-1] & valid[:-2] & valid[2:])[..., None]
        variance[1:-1] = np.where(known & (squared > _SPIKE**2 * usual), squared, 0)
    return variance


def place_std(squared: Floats, own_std: Floats, valid: Bools, expected: float) -> Floats:
    """Standard deviations [T, P] of an imported place along one axis, like `rotation_std`.

    squared [T, P]: squared difference from the lifter's. own_std [T, P]: of the lifter. The unit is free. Errors of a
    place last, so that the whole clip counts as one frame.
    """
    evidence = Evidence(expected, _PLACE_PRIOR_LOG_STD, PLACE_LIMITS, 1, 1 / len(squared))
    ones = np.ones((*squared.shape, 1))
    counted = valid[..., None]
    std = likely_std(squared[..., None], own_std[..., None], ones, counted, evidence)[:, 0]
    variance = np.broadcast_to(std**2, squared.shape)
    outlier = squared > _OUTLIER * (variance + own_std**2)
    variance = np.where(outlier, np.maximum(variance, squared - own_std**2), variance)
    return np.clip(np.sqrt(variance), *PLACE_LIMITS).astype(np.float32)


def fuse_rotations(imported: Gaussian, own: Gaussian) -> Gaussian:
    """The product of two distributions of rotations [..., 3, 3] with standard deviations [...]."""
    weight = imported.std**2 / (imported.std**2 + own.std**2)
    turn = weight[..., None] * rotation_differences(imported.mean, own.mean)
    mean = imported.mean @ axis_angle_to_matrix(torch.as_tensor(turn)).numpy()
    return Gaussian(mean, np.sqrt(weight) * own.std)


def fuse(imported: Gaussian, own: Gaussian) -> Gaussian:
    """The product of two normal distributions, element by element."""
    weight = imported.std**2 / (imported.std**2 + own.std**2)
    return Gaussian(imported.mean + weight * (own.mean - imported.mean), np.sqrt(weight) * own.std)
