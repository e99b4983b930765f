"""Uncertainty of imported poses, estimated from their agreement with the lifter, the keypoints and their neighbors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

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
_LOG_STD, _PLACE_LOG_STD = 1.0, 0.5  # Of the expected standard deviations.
_INDEPENDENT_SECONDS = 0.4  # Errors repeat from frame to frame; frames at this distance count as independent.
_OUTLIER = {1: 7.0, 3: 12.0}  # Squared standard deviations over the axes; one in a hundred exceeds it by chance.
_MEDIAN_SQUARED = 0.455  # Of a standard normal number.
_LARGEST_FACTOR = 5.0
_ROUNDS = 3
_FADE_SECONDS = 0.05
_STEPS = 60  # Of the search for a standard deviation.
_SPIKE = 3.0  # Times the usual deviation from the neighbors in time.
_MIN_CONFIDENCE = 0.3

SHOWN_BY = {
    "hip": "knee",
    "knee": "ankle",
    "ankle": "big_toe",
    "shoulder": "elbow",
    "elbow": "wrist",
    "wrist": "wrist",
}
"""The keypoint that shows a joint's rotation: the end of the limb that it turns."""


@dataclass(frozen=True)
class Gaussian:
    """Values of one kind with a standard deviation each."""

    mean: Floats
    std: Floats


@dataclass(frozen=True)
class Comparison:
    """Imported values against an independent estimate of the same values; the variances add up."""

    squared: Floats
    """[T, P, J] squared differences, mean over the axes."""
    std: Floats
    """[T, P, J] of the other estimate."""
    counted: Bools
    """[T, P, J] frames that have both."""
    axes: int


@dataclass(frozen=True)
class Expectation:
    """What is expected of a standard deviation, and how much the frames of a clip count against it."""

    std: float
    log_std: float
    """Standard deviation of its logarithm."""
    limits: tuple[float, float]
    independent: float
    """Independent frames in each frame."""


def unseen_joints(observations: Observations) -> Bools:
    """[T, P, 22] True for joints that no confident keypoint shows; never for the trunk and the head."""
    known = observations.keypoints[..., 2] >= _MIN_CONFIDENCE  # [T, P, 133]
    unseen = np.zeros((*observations.detected.shape, NUM_BODY_JOINTS), bool)
    for side in ("left", "right"):
        for joint, keypoint in SHOWN_BY.items():
            unseen[..., JOINT_INDEX[f"{side}_{joint}"]] = ~known[..., KEYPOINT_INDEX[f"{side}_{keypoint}"]]
    return unseen


def rotation_differences(a: Floats, b: Floats) -> Floats:
    """Rotation vectors [..., 3] that turn a [..., 3, 3] into b [..., 3, 3], in the axes of a."""
    relative = np.swapaxes(a, -1, -2).astype(np.float64) @ b
    return matrix_to_axis_angle(torch.as_tensor(relative)).numpy()


def compare_limbs(pixels: Floats, observations: Observations) -> Comparison:
    """The directions of limbs in the image against the keypoints, as angles about the viewing ray.

    pixels [T, P, 23 or more, 2] of the imported keypoints, nan where there are none.
    """
    shape = (*observations.detected.shape, NUM_BODY_JOINTS)
    squared, std, counted = np.zeros(shape), np.ones(shape), np.zeros(shape, bool)
    for side in ("left", "right"):
        for joint, keypoint in SHOWN_BY.items():
            ends = [KEYPOINT_INDEX[f"{side}_{name}"] for name in (joint, keypoint)]
            if ends[0] == ends[1]:
                continue
            seen = observations.keypoints[:, :, ends].astype(np.float64)  # [T, P, 2, 3]
            (ax, ay), (bx, by) = (
                np.moveaxis(xy[:, :, 1] - xy[:, :, 0], -1, 0) for xy in (pixels[:, :, ends], seen[..., :2])
            )
            angle = np.arctan2(ax * by - ay * bx, ax * bx + ay * by)
            column = JOINT_INDEX[f"{side}_{joint}"]
            sigma = np.linalg.norm(observations.sigmas[:, :, ends], axis=-1)
            known = (seen[..., 2] >= _MIN_CONFIDENCE).all(-1) & observations.detected & np.isfinite(angle)
            counted[..., column] = known & (sigma < np.hypot(bx, by))
            squared[..., column] = np.where(known, angle, 0) ** 2
            std[..., column] = sigma / np.maximum(np.hypot(bx, by), 1e-6)
    return Comparison(squared, std, counted, 1)


def overconfidence(limbs: Comparison) -> Floats:
    """[P] factor, at least 1, by which limbs of an estimate are farther from the keypoints than expected.

    limbs: of the estimate against the keypoints, with the standard deviations of both together.
    """
    squared = np.where(limbs.counted, limbs.squared / np.square(limbs.std), np.nan)
    factors = [np.nanmedian(one) if np.isfinite(one).any() else 0.0 for one in np.moveaxis(squared, 1, 0)]
    return np.sqrt(np.clip(np.array(factors) / _MEDIAN_SQUARED, 1.0, _LARGEST_FACTOR**2))


def rotation_std(
    imported: Floats, own: Gaussian, valid: Bools, unseen: Bools, times: Floats, limbs: Comparison | None = None
) -> Floats:
    """Standard deviations [T, P, 22] of imported rotations [T, P, 22, 3, 3], radians about each axis.

    own: rotations of the lifter and their standard deviations [T, P, 22]. valid [T, P]: frames with an imported pose.
    unseen [T, P, 22]. times [T] seconds. limbs: against the keypoints. One value per joint over the clip, wider where
    the joint is unseen and in frames that stand out from the lifter, the keypoints or their neighbors in time.
    """
    factor = np.where(unseen, UNSEEN_FACTOR, 1.0)
    squared = np.square(rotation_differences(imported, own.mean)).mean(-1)  # [T, P, 22]
    comparisons = [Comparison(squared, own.std, np.broadcast_to(valid[..., None], squared.shape), 3)]
    if limbs is not None:
        comparisons.append(replace(limbs, counted=limbs.counted & valid[..., None]))
    std = likely_std(comparisons, factor, Expectation(ROTATION_STD, _LOG_STD, ROTATION_LIMITS, _independent(times)))
    variance = np.square(std * factor)
    for one in comparisons:
        variance = _widen(variance, one)
    variance = _fade(variance + _spikes(imported, valid), times)
    return np.clip(np.sqrt(variance), *ROTATION_LIMITS).astype(np.float32)


def place_std(squared: Floats, own_std: Floats, valid: Bools, expected: float) -> Floats:
    """Standard deviations [T, P] of an imported place along one axis, like `rotation_std`.

    squared [T, P]: squared difference from the lifter's. own_std [T, P]: of the lifter. valid [T, P]. The unit is
    free. Errors of a place last, so that the whole clip counts as one frame.
    """
    one = Comparison(squared[..., None], own_std[..., None], valid[..., None], 1)
    std = likely_std(
        [one], np.ones(one.squared.shape), Expectation(expected, _PLACE_LOG_STD, PLACE_LIMITS, 1 / len(squared))
    )
    variance = _widen(np.broadcast_to(std**2, one.squared.shape), one)[..., 0]
    return np.clip(np.sqrt(variance), *PLACE_LIMITS).astype(np.float32)


def likely_std(comparisons: Sequence[Comparison], factor: Floats, expected: Expectation) -> Floats:
    """The most probable standard deviation [P, J] of imported values.

    factor [T, P, J]: that of the imported value in each frame relative to the result. Frames far from both estimates
    have no effect.
    """
    std = np.full(factor.shape[1:], expected.std)
    used = [one.counted for one in comparisons]
    for _ in range(_ROUNDS):
        least = np.full(std.shape, np.inf)
        for trial in np.geomspace(*expected.limits, _STEPS):
            cost = np.full(std.shape, np.square(np.log(trial / expected.std) / expected.log_std) / 2)
            for one, counted in zip(comparisons, used, strict=True):
                variance = np.square(trial * factor) + np.square(one.std)
                costs = one.axes / 2 * (np.log(variance) + one.squared / variance)
                cost = cost + expected.independent * np.where(counted, costs, 0).sum(0)
            std, least = np.where(cost < least, trial, std), np.minimum(cost, least)
        used = [_without_outliers(one, np.square(std * factor)) for one in comparisons]
    return std


def _without_outliers(one: Comparison, variance: Floats) -> Bools:
    """[T, P, J] the counted frames that agree with the variance [T, P, J]; all of them where most do not."""
    agrees = one.counted & ~_is_outlier(one, variance)
    return np.where(2 * agrees.sum(0) >= one.counted.sum(0), agrees, one.counted)


def _is_outlier(one: Comparison, variance: Floats) -> Bools:
    return np.asarray(one.axes * one.squared > _OUTLIER[one.axes] * (variance + np.square(one.std)))


def _widen(variance: Floats, one: Comparison) -> Floats:
    """The variance [T, P, J], in frames that stand out as large as these show."""
    shown = np.maximum(variance, one.squared - np.square(one.std))
    return np.where(one.counted & _is_outlier(one, variance), shown, variance)


def _independent(times: Floats) -> float:
    """Independent frames in each frame."""
    step = float(np.median(np.diff(times))) if len(times) > 1 else _INDEPENDENT_SECONDS
    return min(step / _INDEPENDENT_SECONDS, 1.0)


def _fade(variance: Floats, times: Floats) -> Floats:
    """The variance [T, P, J] with wide frames that fade in and out: a weight that jumps gives a pose that jumps."""
    frames = max(_FADE_SECONDS / float(np.median(np.diff(times))), 0.5) if len(times) > 1 else 0.5
    widest = maximum_filter1d(np.log(variance), 3, axis=0, mode="nearest")
    return np.exp(gaussian_filter1d(widest, frames, axis=0, mode="nearest"))


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
