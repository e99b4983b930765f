"""Errors of joints and vertices, unreduced: one value for each frame, person and joint.

Arrays in metres, results in millimetres where no other unit is named. Wherever an input is nan the result is nan.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from closemesh.evaluation.alignment import procrustes
from closemesh.evaluation.lsp import LSP_HIPS
from closemesh.scene import Bools, Floats

_MM = 1000.0


def centred(points: Floats, joints14: Floats) -> Floats:
    """Points [..., N, 3] seen from the middle of the hips of joints14 [..., 14, 3]."""
    return points - joints14[..., list(LSP_HIPS), :].mean(-2, keepdims=True)


def mpjpe(predicted: Floats, truth: Floats) -> Floats:
    """Joint error [T, P, 14] after the mid-hips are put together; joints [T, P, 14, 3] in LSP order.

    The alignment of CloseInt, CloseApp, SPIN and PromptHMR; BUDDI's plain MPJPE aligns the right ankle instead.
    """
    return _mm(centred(predicted, predicted) - centred(truth, truth))


def pa_mpjpe(predicted: Floats, truth: Floats) -> Floats:
    """Joint error [T, P, 14] after a similarity Procrustes of each person in each frame; joints [T, P, 14, 3]."""
    return _mm(_procrustes_where_finite(predicted, truth) - truth)


def mpvpe(vertices: Floats, vertices_true: Floats, joints14: Floats, joints14_true: Floats) -> Floats:
    """Vertex error [..., V] after the mid-hips are put together; vertices [..., V, 3] of one mesh topology."""
    return _mm(centred(vertices, joints14) - centred(vertices_true, joints14_true))


def accel(predicted: Floats, truth: Floats) -> Floats:
    """Error of the second difference [T, P, 14] in mm per frame squared, mid-hips together (Kanazawa et al. 2019).

    The first and last frame are nan. The code of CloseInt sets them to 0 and averages them in, and so tells slightly
    less. Compare only at one frame rate.
    """
    result = np.full(predicted.shape[:-1], np.nan)
    if len(predicted) > 2:
        error = np.diff(centred(predicted, predicted), n=2, axis=0) - np.diff(centred(truth, truth), n=2, axis=0)
        result[1:-1] = _mm(error)
    return result


def root_depth(predicted: Floats, truth: Floats) -> Floats:
    """Error of the depth of the pelvis [T, P]; pelvis [T, P, 3] in the camera frame."""
    return _MM * np.abs(predicted[..., 2] - truth[..., 2])


def person_pairs(num_people: int) -> list[tuple[int, int]]:
    """All pairs a < b, in the order in which metrics of pairs tell them."""
    return list(combinations(range(num_people), 2))


def inter(predicted: Floats, truth: Floats) -> Floats:
    """Interaction error [T, pairs] (CloseInt): how wrong the 14 x 14 distances between two people's joints are.

    Joints [T, P, 14, 3] with their true translations; the mean of `| |a_i - b_j| - |a_i - b_j|_true |`.
    """
    columns = []
    for a, b in person_pairs(predicted.shape[1]):
        error = np.abs(_cross_distances(predicted, a, b) - _cross_distances(truth, a, b))
        columns.append(_MM * error.mean((-2, -1)))
    return _stack_pairs(columns, len(predicted))


def pair_pa_mpjpe(predicted: Floats, truth: Floats) -> Floats:
    """Joint error [T, pairs] after one Procrustes of both people together (28 joints), people in the order given.

    BUDDI's "joint PA-MPJPE", PromptHMR's Pair-PA-MPJPE. Joints [T, P, 14, 3].
    """
    columns = [_pair_error(predicted[:, [a, b]], truth[:, [a, b]]) for a, b in person_pairs(predicted.shape[1])]
    return _stack_pairs(columns, len(predicted))


def pair_pa_mpjpe_best(predicted: Floats, truth: Floats) -> Floats:
    """The same [T, pairs] with the two people exchanged in the frames in which that is better, as BUDDI does."""
    columns = [
        np.fmin(
            _pair_error(predicted[:, [a, b]], truth[:, [a, b]]), _pair_error(predicted[:, [b, a]], truth[:, [a, b]])
        )
        for a, b in person_pairs(predicted.shape[1])
    ]
    return _stack_pairs(columns, len(predicted))


def pcdr(predicted: Floats, truth: Floats, threshold: float = 0.15) -> Floats:
    """1 where the order in depth of two people is right, else 0 [T, pairs] (BEV, Sun et al. 2022).

    Depth [T, P] metres in the camera frame. Nearer than `threshold` metres to each other counts as level; the order is
    nearer, level or farther.
    """
    columns = []
    for a, b in person_pairs(predicted.shape[1]):
        orders = [np.sign(d) * (np.abs(d) >= threshold) for d in (p[:, a] - p[:, b] for p in (predicted, truth))]
        columns.append(np.where(np.isfinite(orders[0] + orders[1]), orders[0] == orders[1], np.nan))
    return _stack_pairs(columns, len(predicted))


def jitter(joints: Floats, fps: float) -> Floats:
    """Jerk [T, P, J] in m/s^3 over the frames t - 3 .. t, nan in the first three; joints [T, P, J, 3].

    WHAM, TRAM and GVHMR report it in units of 10 m/s^3.
    """
    result = np.full(joints.shape[:-1], np.nan)
    if len(joints) > 3:
        result[3:] = np.linalg.norm(np.diff(joints.astype(np.float64), n=3, axis=0), axis=-1) * fps**3
    return result


def foot_sliding(predicted: Floats, truth: Floats, threshold: float = 0.01) -> Floats:
    """How far points of the feet move from one frame to the next where the true ones stand still, [T, P, N] (WHAM).

    Points [T, P, N, 3]. The true ones stand still when they move less than `threshold` metres; elsewhere, and in the
    first frame, nan.
    """
    result = np.full(predicted.shape[:-1], np.nan)
    moved = _mm(np.diff(predicted, axis=0))
    stands = _mm(np.diff(truth, axis=0)) < _MM * threshold
    result[1:] = np.where(stands, moved, np.nan)
    return result


def without_absent(points: Floats, present: Bools) -> Floats:
    """Float64 points [T, P, ...] with nan where `present` [T, P] is False, so that no metric counts them."""
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
    """Decompositions do not bear nan: such sets stay nan."""
    aligned = np.full(points.shape, np.nan)
    there = (np.isfinite(points) & np.isfinite(target)).all((-2, -1))
    aligned[there] = procrustes(points[there], target[there])
    return aligned


def _stack_pairs(columns: list[Floats], num_frames: int) -> Floats:
    return np.stack(columns, axis=-1) if columns else np.zeros((num_frames, 0))
