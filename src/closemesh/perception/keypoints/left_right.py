"""Left and right: a detector that takes a back for a front swaps a person's sides, for some frames or for all."""

from __future__ import annotations

import numpy as np

from closemesh.core.arrays import Bools, Floats
from closemesh.perception.types import BODY_MIRROR, Detection
from closemesh.temporal import viterbi

_SWAP_COST = 0.01  # Per swapped frame; the detector is right in most frames.
_TOLD = 0.03  # Weight of a frame's closer look beside a move; it is right four times in five where the two differ.
_MAX_STEP = 0.15  # Of the box diagonal; a larger move tells as much as this one.
_FORGET = 5  # Frames; after a longer gap sides are not compared.
_MIN_CONFIDENCE = 0.2


def fix_left_right(seen: dict[int, Detection]) -> dict[int, Detection]:
    """Detections by frame, with left and right exchanged where that is needed."""
    frames = sorted(seen)
    swapped = swapped_sides(frames, [seen[frame] for frame in frames])
    return {f: seen[f].flip_left_right() if swap else seen[f] for f, swap in zip(frames, swapped, strict=True)}


def left_right_score(detection: Detection, keypoints: Floats) -> float:
    """-1..1 how clearly another look, keypoints [17, 3], calls the left of a detection right; below 0, left.

    Near 0 where the two are not of one person, or see him from the side.
    """
    same, crossed = _step_costs(detection, Detection(detection.box, keypoints, detection.score))
    return same - crossed


def swapped_sides(frames: list[int], detections: list[Detection], told: Floats | None = None) -> Bools:
    """[N] in which frames left and right are to be exchanged so that the keypoints move least (Viterbi, two states).

    told [N]: `sides_told` of a closer look at each, 0 where there was none.
    """
    of_state = np.array([0.0, _SWAP_COST]) - np.outer(np.zeros(len(frames)) if told is None else told, [0.0, _TOLD])

    def step_cost(n: int) -> Floats:
        comparable = frames[n] - frames[n - 1] <= _FORGET
        same, crossed = _step_costs(detections[n - 1], detections[n]) if comparable else (0, 0)
        return np.array([[same, crossed], [crossed, same]])

    return viterbi(of_state, step_cost).astype(bool)


def _step_costs(before: Detection, now: Detection) -> tuple[float, float]:
    """Mean relative squared move of the keypoints as named, and with the sides of one of the two exchanged."""
    return _step_cost(before, now.keypoints), _step_cost(before, now.keypoints[list(BODY_MIRROR)])


def _step_cost(before: Detection, keypoints: Floats) -> float:
    weight = np.minimum(before.keypoints[:, 2], keypoints[:, 2])
    weight = np.where(weight > _MIN_CONFIDENCE, weight, 0)
    if weight.sum() == 0:
        return 0.0
    move = np.linalg.norm(keypoints[:, :2] - before.keypoints[:, :2], axis=1) / before.diagonal
    return float((weight * np.minimum(move / _MAX_STEP, 1) ** 2).sum() / weight.sum())
