"""Two motions of the same people: brought together in time, people and place, then scored."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from closemesh.errors import InputError
from closemesh.evaluation.alignment import rigid_alignment
from closemesh.evaluation.compare import reduce_scores, score_motions
from closemesh.evaluation.lsp import lsp_joints
from closemesh.evaluation.metrics import without_absent
from closemesh.evaluation.names import IN_CAMERA_ONLY
from closemesh.evaluation.sequences import MotionOnBody
from closemesh.output.skinned import motion_joints
from closemesh.progress import Progress
from closemesh.scene import Floats

_MOST_PEOPLE = 5  # All orders of so many people are tried.


def evaluate(
    predicted: MotionOnBody, truth: MotionOnBody, progress: Progress, align: bool = False, cheap: bool = False
) -> dict[str, float]:
    """Every metric of `names.METRICS` that is defined, in its unit (shares in percent), averaged over the motion.

    Frames are paired by time, at the lower of the two rates; people are told apart by where their joints are. In the
    camera frame when both motions know one, else in the world, where root-depth and PCDR mean nothing and are left
    out. `align` first moves the prediction by the one rotation and translation that bring all its joints nearest to
    the true ones. Raises InputError when no frame or no person is common to both.
    """
    if predicted.camera is None or truth.camera is None or align:
        predicted, truth = predicted.in_world(), truth.in_world()
    predicted, truth = _common_frames(predicted, truth, progress)
    predicted, truth = _common_people(predicted, truth, align, progress)
    if align:
        predicted = predicted.moved(_best_move(_joints(predicted), _joints(truth)))
    scores = score_motions(predicted.motion, truth.motion, predicted.body, truth.body, truth.times, cheap)
    if predicted.camera is None:
        scores = {name: values for name, values in scores.items() if name not in IN_CAMERA_ONLY}
        progress.note(
            f"compared in the world frame{', aligned' if align else ''}: no {' and no '.join(IN_CAMERA_ONLY)}"
        )
    return reduce_scores(scores)


def pair_times(times_a: Floats, times_b: Floats) -> tuple[np.ndarray, np.ndarray]:
    """Indices into both, of frames shown at the same time; times [T] in seconds, increasing.

    Every frame of the slower one is paired with the nearest of the faster one, when that is less than half of the
    faster one's interval away.
    """
    if _interval(times_a) < _interval(times_b):
        second, first = pair_times(times_b, times_a)
        return first, second
    nearest = np.rint(np.interp(times_a, times_b, np.arange(len(times_b)))).astype(int)
    close = np.abs(times_a - times_b[nearest]) <= 0.5 * _interval(times_b) + 1e-6
    return np.flatnonzero(close), nearest[close]


def match_people(predicted: Floats, truth: Floats, align: bool = False) -> list[int]:
    """Which predicted person stands for each true one, so that the joints are nearest on average.

    Joints [T, P, 14, 3] and [T, Q, 14, 3], P at least Q, nan where absent; with `align` nearest after the best common
    move. Told in the order given when there are more people than can be tried.
    """
    count = truth.shape[1]
    if predicted.shape[1] > _MOST_PEOPLE:
        return list(range(count))
    orders = list(permutations(range(predicted.shape[1]), count))
    return list(min(orders, key=lambda order: _mean_distance(predicted[:, list(order)], truth, align)))


def _common_frames(
    predicted: MotionOnBody, truth: MotionOnBody, progress: Progress
) -> tuple[MotionOnBody, MotionOnBody]:
    first, second = pair_times(predicted.times, truth.times)
    if len(first) == 0:
        spans = " and ".join(f"{times[0]:.2f}-{times[-1]:.2f} s" for times in (predicted.times, truth.times))
        raise InputError(f"the two motions have no moment in common ({spans}); give motions of the same clip")
    if not len(first) == len(predicted.times) == len(truth.times):
        progress.note(f"{len(first)} frames compared of {len(predicted.times)} and {len(truth.times)}, paired by time")
    return predicted.frames(first), truth.frames(second)


def _common_people(
    predicted: MotionOnBody, truth: MotionOnBody, align: bool, progress: Progress
) -> tuple[MotionOnBody, MotionOnBody]:
    joints, joints_true = _joints(predicted), _joints(truth)
    num_predicted, num_true = joints.shape[1], joints_true.shape[1]
    if num_predicted >= num_true:
        order = match_people(joints, joints_true, align)
        predicted = predicted.people(order)
    else:
        order = match_people(joints_true, joints, align)
        truth = truth.people(order)
    if order != list(range(max(num_predicted, num_true))):
        which = "predicted" if num_predicted >= num_true else "true"
        progress.note(f"{num_predicted} predicted and {num_true} true people: compared are the {which} {order}")
    if not (predicted.motion.valid & truth.motion.valid).any():
        raise InputError("nobody is there in both motions at the same time; give motions of the same clip")
    return predicted, truth


def _mean_distance(points: Floats, target: Floats, align: bool) -> float:
    there = np.isfinite(points).all(-1) & np.isfinite(target).all(-1)
    if not there.any():
        return float("inf")
    points, target = points[there], target[there]
    if align:
        T = rigid_alignment(points, target)
        points = points @ T[:3, :3].T + T[:3, 3]
    return float(np.linalg.norm(points - target, axis=-1).mean())


def _best_move(points: Floats, target: Floats) -> Floats:
    """T_target_points [4, 4] over all people and frames [T, P, 14, 3] that are in both."""
    there = np.isfinite(points).all(-1) & np.isfinite(target).all(-1)
    return rigid_alignment(points[there], target[there])


def _joints(sequence: MotionOnBody) -> Floats:
    """[T, P, 14, 3] with nan where a person is absent."""
    return without_absent(lsp_joints(motion_joints(sequence.motion, sequence.body)), sequence.motion.valid)


def _interval(times: Floats) -> float:
    """Seconds between two frames; of a single frame that of a second, so that it is never the faster one."""
    return float(np.median(np.diff(times))) if len(times) > 1 else 1.0
