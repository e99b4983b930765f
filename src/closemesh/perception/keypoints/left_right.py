"""Left-right flips over time: a detector that mistakes a back for a front exchanges a person's sides."""

from __future__ import annotations

import numpy as np

from closemesh.core.arrays import Bools, Floats
from closemesh.perception.types import BODY_MIRROR, Detection
from closemesh.temporal import viterbi

_FLIP_COST = 0.01  # Per flipped frame; the detector is right in most frames.
_SCORE_WEIGHT = 0.03  # Weight of a frame's crop pose against motion; it is right four times in five where both differ.
_MAX_STEP = 0.15  # Fraction of the box diagonal; larger motion costs no more.
_MAX_FRAMES = 5  # Frames between two detections whose sides are compared.
_MIN_CONFIDENCE = 0.2


def fix_left_right(detections: dict[int, Detection]) -> dict[int, Detection]:
    """One person's detections by frame, with left and right exchanged where keypoints then move less."""
    frames = sorted(detections)
    flipped = swapped_sides(frames, [detections[frame] for frame in frames])
    return {
        frame: detections[frame].flip_left_right() if flip else detections[frame]
        for frame, flip in zip(frames, flipped, strict=True)
    }


def left_right_score(detection: Detection, keypoints: Floats) -> float:
    """-1..1 evidence that left and right of the detection are exchanged, by other keypoints [17, 3] of the person.

    Near 0 where the two do not show one person, or show the person from the side.
    """
    same, exchanged = _step_costs(detection, Detection(detection.box, keypoints, detection.score))
    return same - exchanged


def swapped_sides(frames: list[int], detections: list[Detection], scores: Floats | None = None) -> Bools:
    """[N] detections whose left and right are to be exchanged so that keypoints move least (Viterbi, two states).

    scores: [N] `left_right_score` of the crop pose in each frame, 0 without one.
    """
    scores = np.zeros(len(frames)) if scores is None else scores
    unary = np.array([0.0, _FLIP_COST]) - np.outer(scores, [0.0, _SCORE_WEIGHT])

    def step_cost(n: int) -> Floats:
        comparable = frames[n] - frames[n - 1] <= _MAX_FRAMES
        same, exchanged = _step_costs(detections[n - 1], detections[n]) if comparable else (0, 0)
        return np.array([[same, exchanged], [exchanged, same]])

    return viterbi(unary, step_cost).astype(bool)


def _step_costs(before: Detection, now: Detection) -> tuple[float, float]:
    """Mean squared relative motion of the keypoints as named, and with the sides of one of the two exchanged."""
    return _step_cost(before, now.keypoints), _step_cost(before, now.keypoints[list(BODY_MIRROR)])


def _step_cost(before: Detection, keypoints: Floats) -> float:
    weight = np.minimum(before.keypoints[:, 2], keypoints[:, 2])
    weight = np.where(weight > _MIN_CONFIDENCE, weight, 0)
    if weight.sum() == 0:
        return 0.0
    motion = np.linalg.norm(keypoints[:, :2] - before.keypoints[:, :2], axis=1) / before.diagonal
    return float((weight * np.minimum(motion / _MAX_STEP, 1) ** 2).sum() / weight.sum())
