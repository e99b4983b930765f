"""Errors of joints and vertices, unreduced, on the 14 LSP joints; and the registry of all metrics.

Inputs are in meters, results in millimeters unless another unit is named. A nan in an input gives nan.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from closemesh.body.skeleton import JOINT_INDEX, KEYPOINT_INDEX
from closemesh.core.arrays import Bools, Floats
from closemesh.geometry.transforms import procrustes
from closemesh.temporal import jerk

LSP_NAMES: tuple[str, ...] = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
    *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
    *("neck", "head"),
)
"""Joints of the LSP data set, in its order; here the SMPL-X kinematic joints of these names. Papers regress the top of
the head and other points of hips and neck. So errors are close to published ones, but not equal."""

LSP_JOINTS: tuple[int, ...] = tuple(JOINT_INDEX[name] for name in LSP_NAMES)
LSP_HIPS: tuple[int, int] = (2, 3)

_HANDS = ((JOINT_INDEX["left_wrist"], slice(25, 40)), (JOINT_INDEX["right_wrist"], slice(40, 55)))
"""Wrist and finger joints of the left and the right hand."""
_SHOULDERS = ("left_shoulder", "right_shoulder")
_FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")


def lsp_joints(joints: Floats) -> Floats:
    """The LSP joints [..., 14, 3] of SMPL-X joints [..., 55, 3]."""
    return joints[..., list(LSP_JOINTS), :]


def lsp_hidden(hidden: Bools) -> Bools:
    """LSP joints [..., 14] that are hidden, from the hidden keypoints [..., 23] of COCO-WholeBody.

    The neck is hidden with both shoulders, the head with the whole face. The others have a keypoint of their own.
    """
    ids = {name: [KEYPOINT_INDEX[name]] for name in LSP_NAMES if name in KEYPOINT_INDEX}
    ids |= {"neck": [KEYPOINT_INDEX[name] for name in _SHOULDERS], "head": [KEYPOINT_INDEX[name] for name in _FACE]}
    return np.stack([hidden[..., ids[name]].all(-1) for name in LSP_NAMES], axis=-1)


_MM = 1000.0


def root_relative(points: Floats, joints14: Floats) -> Floats:
    """The points [..., N, 3] relative to the mid-hip of joints14 [..., 14, 3]."""
    return points - joints14[..., list(LSP_HIPS), :].mean(-2, keepdims=True)


def mpjpe(predicted: Floats, truth: Floats) -> Floats:
    """Joint error [T, P, 14] after alignment of the mid-hips; predicted [T, P, 14, 3], truth [T, P, 14, 3].

    The alignment of CloseInt, CloseApp, SPIN and PromptHMR; BUDDI's plain MPJPE aligns the right ankle instead.
    """
    return _mm(root_relative(predicted, predicted) - root_relative(truth, truth))


def pa_mpjpe(predicted: Floats, truth: Floats) -> Floats:
    """Joint error [T, P, 14] after a similarity Procrustes per person and frame.

    predicted [T, P, 14, 3], truth [T, P, 14, 3].
    """
    return _mm(_procrustes_where_finite(predicted, truth) - truth)


def mpvpe(vertices: Floats, vertices_true: Floats, joints14: Floats, joints14_true: Floats) -> Floats:
    """Vertex error [..., V] after alignment of the mid-hips; both meshes have the same topology.

    vertices [..., V, 3], vertices_true [..., V, 3], joints14 [..., 14, 3], joints14_true [..., 14, 3].
    """
    return _mm(root_relative(vertices, joints14) - root_relative(vertices_true, joints14_true))


def hand_mpjpe(joints: Floats, joints_true: Floats) -> Floats:
    """Mean error [T, P] of the 30 finger joints after alignment of each hand's wrist joint.

    joints [T, P, 55, 3], joints_true [T, P, 55, 3]. The rotation of the wrist counts.
    """
    errors = [
        _mm(
            (joints[..., fingers, :] - joints[..., [wrist], :])
            - (joints_true[..., fingers, :] - joints_true[..., [wrist], :])
        )
        for wrist, fingers in _HANDS
    ]
    return np.concatenate(errors, axis=-1).mean(-1)


def accel(predicted: Floats, truth: Floats) -> Floats:
    """Error of the second difference [T, P, 14], mm per frame squared, mid-hips aligned (Kanazawa et al. 2019).

    predicted [T, P, 14, 3], truth [T, P, 14, 3]. The first and last frame are nan. The code of CloseInt averages zeros
    there, so its values are slightly lower. Compare only at equal frame rates.
    """
    result = np.full(predicted.shape[:-1], np.nan)
    if len(predicted) > 2:
        error = np.diff(root_relative(predicted, predicted), n=2, axis=0) - np.diff(
            root_relative(truth, truth), n=2, axis=0
        )
        result[1:-1] = _mm(error)
    return result


def root_depth(predicted: Floats, truth: Floats) -> Floats:
    """Error of the depth of the pelvis [T, P]; predicted [T, P, 3], truth [T, P, 3], camera frame."""
    return _MM * np.abs(predicted[..., 2] - truth[..., 2])


def person_pairs(num_people: int) -> list[tuple[int, int]]:
    """All pairs a < b, in the order of the columns of pair metrics."""
    return list(combinations(range(num_people), 2))


def inter(predicted: Floats, truth: Floats) -> Floats:
    """Interaction error [T, pairs] (CloseInt): error of the 14 x 14 distances between the joints of two people.

    predicted [T, P, 14, 3], truth [T, P, 14, 3], not aligned. The mean of `| |a_i - b_j| - |a_i - b_j|_true |`.
    """
    columns = []
    for a, b in person_pairs(predicted.shape[1]):
        error = np.abs(_cross_distances(predicted, a, b) - _cross_distances(truth, a, b))
        columns.append(_MM * error.mean((-2, -1)))
    return _stack_pairs(columns, len(predicted))


def pair_pa_mpjpe(predicted: Floats, truth: Floats) -> Floats:
    """Joint error [T, pairs] after one Procrustes of both people together (28 joints), people in the order given.

    BUDDI's "joint PA-MPJPE", PromptHMR's Pair-PA-MPJPE. predicted [T, P, 14, 3], truth [T, P, 14, 3].
    """
    columns = [_pair_error(predicted[:, [a, b]], truth[:, [a, b]]) for a, b in person_pairs(predicted.shape[1])]
    return _stack_pairs(columns, len(predicted))


def pair_pa_mpjpe_best(predicted: Floats, truth: Floats) -> Floats:
    """pair_pa_mpjpe [T, pairs], the two people exchanged in frames where that is better, as BUDDI does.

    predicted [T, P, 14, 3], truth [T, P, 14, 3].
    """
    columns = [
        np.fmin(
            _pair_error(predicted[:, [a, b]], truth[:, [a, b]]), _pair_error(predicted[:, [b, a]], truth[:, [a, b]])
        )
        for a, b in person_pairs(predicted.shape[1])
    ]
    return _stack_pairs(columns, len(predicted))


def pcdr(predicted: Floats, truth: Floats, threshold: float = 0.15) -> Floats:
    """1 where the depth order of two people is right, else 0 [T, pairs] (BEV, Sun et al. 2022).

    Depths predicted [T, P], truth [T, P] meters, camera frame. The order is nearer, equal or farther; equal below a
    difference of `threshold` meters.
    """
    columns = []
    for a, b in person_pairs(predicted.shape[1]):
        orders = [np.sign(d) * (np.abs(d) >= threshold) for d in (p[:, a] - p[:, b] for p in (predicted, truth))]
        columns.append(np.where(np.isfinite(orders[0] + orders[1]), orders[0] == orders[1], np.nan))
    return _stack_pairs(columns, len(predicted))


def jitter(joints: Floats, fps: float) -> Floats:
    """Jerk [T, P, J], m/s^3, over the frames t - 3 .. t, nan in the first three; joints [T, P, J, 3].

    WHAM, TRAM and GVHMR report it in units of 10 m/s^3.
    """
    result = np.full(joints.shape[:-1], np.nan)
    if len(joints) > 3:
        result[3:] = jerk(joints, fps)
    return result


def foot_sliding(predicted: Floats, truth: Floats, threshold: float = 0.01) -> Floats:
    """Motion of foot points between frames where the true points rest, [T, P, N] (WHAM).

    predicted [T, P, N, 3], truth [T, P, N, 3]. True points rest when they move less than
    `threshold` meters per frame. nan elsewhere, and in the first frame.
    """
    result = np.full(predicted.shape[:-1], np.nan)
    moved = _mm(np.diff(predicted, axis=0))
    rests = _mm(np.diff(truth, axis=0)) < _MM * threshold
    result[1:] = np.where(rests, moved, np.nan)
    return result


def without_absent(points: Floats, present: Bools) -> Floats:
    """The points [T, P, ...] as float64, nan where `present` [T, P] is False; metrics do not count them."""
    shape = (*present.shape, *([1] * (points.ndim - 2)))
    return np.where(present.reshape(shape), points.astype(np.float64), np.nan)


def _mm(difference: Floats) -> Floats:
    return _MM * np.linalg.norm(difference, axis=-1)


def _cross_distances(joints: Floats, a: int, b: int) -> Floats:
    """[T, 14, 14]."""
    return np.linalg.norm(joints[:, a, :, None] - joints[:, b, None], axis=-1)


def _pair_error(predicted: Floats, truth: Floats) -> Floats:
    """[T] of joints [T, 2, 14, 3]."""
    predicted, truth = (joints.reshape(len(joints), -1, 3) for joints in (predicted, truth))
    return _mm(_procrustes_where_finite(predicted, truth) - truth).mean(-1)


def _procrustes_where_finite(points: Floats, target: Floats) -> Floats:
    """Points aligned to target; nan for sets with a nan, which a decomposition cannot take."""
    aligned = np.full(points.shape, np.nan)
    finite = (np.isfinite(points) & np.isfinite(target)).all((-2, -1))
    aligned[finite] = procrustes(points[finite], target[finite])
    return aligned


def _stack_pairs(columns: list[Floats], num_frames: int) -> Floats:
    return np.stack(columns, axis=-1) if columns else np.zeros((num_frames, 0))


Better = Literal["lower", "higher"]

TOUCH = 0.013
"""Meters between surfaces below which parts touch, as in BUDDI."""
NEAR = 0.05
PCC_RADII = (0.05, 0.10, 0.15, 0.20)


@dataclass(frozen=True)
class Metric:
    """Unit and properties of a metric."""

    name: str
    unit: str
    better: Better
    by_joint: bool = False
    """Values [T, P, 14], one for each LSP joint."""
    of_pair: bool = False
    """Values [T, pairs]; else they begin with [T, P]."""
    needs_truth: bool = True
    """False for metrics that the true motion has too."""

    @property
    def scale(self) -> float:
        """Factor from the values of score_motions, where fractions are in 0..1, to the unit."""
        return 100.0 if self.unit == "%" else 1.0


_CONTACT = tuple(
    Metric(f"contact-{score}@{1000 * distance:.0f}mm", "%", "higher", of_pair=True)
    for distance in (TOUCH, NEAR)
    for score in ("P", "R", "F1")
)

METRICS: tuple[Metric, ...] = (
    Metric("MPJPE", "mm", "lower", by_joint=True),
    Metric("PA-MPJPE", "mm", "lower", by_joint=True),
    Metric("MPVPE", "mm", "lower"),
    Metric("hand-MPJPE", "mm", "lower"),
    Metric("Accel", "mm/frame²", "lower", by_joint=True),
    Metric("Inter", "mm", "lower", of_pair=True),
    Metric("Pair-PA-MPJPE", "mm", "lower", of_pair=True),
    Metric("Pair-PA-MPJPE-best", "mm", "lower", of_pair=True),
    Metric("root-depth", "mm", "lower"),
    Metric("PCDR", "%", "higher", of_pair=True),
    Metric("A-PD", "mm", "lower", of_pair=True, needs_truth=False),
    Metric("depth-max", "mm", "lower", of_pair=True, needs_truth=False),
    Metric("depth-mean", "mm", "lower", of_pair=True, needs_truth=False),
    Metric("volume", "cm³", "lower", of_pair=True, needs_truth=False),
    *_CONTACT,
    *(Metric(f"PCC@{100 * radius:.0f}cm", "%", "higher", of_pair=True) for radius in PCC_RADII),
    Metric("jitter", "m/s³", "lower", needs_truth=False),
    Metric("foot-sliding", "mm", "lower", needs_truth=False),
)
METRIC = {metric.name: metric for metric in METRICS}
IN_CAMERA_ONLY = ("root-depth", "PCDR")
"""Defined only when both motions are in the camera frame."""
