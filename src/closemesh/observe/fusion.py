"""One answer from two looks: the detection's 17 keypoints and the refinement's whole body."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from closemesh.body.skeleton import KEYPOINT_INDEX, KEYPOINT_MIRROR
from closemesh.observe.detector import NUM_BODY, Detection, Refinement
from closemesh.scene import NUM_CUE_POINTS, NUM_KEYPOINTS, Bools, Floats

AGREEMENT = 0.12  # Of the box diagonal; farther apart the two looks mean different points.
_MIN_CONFIDENCE = 0.1
_LEFT_ANKLE, _RIGHT_ANKLE = KEYPOINT_INDEX["left_ankle"], KEYPOINT_INDEX["right_ankle"]
_LEFT_WRIST, _RIGHT_WRIST = KEYPOINT_INDEX["left_wrist"], KEYPOINT_INDEX["right_wrist"]
_FACE = slice(23, 91)
_FOLLOWS = {
    KEYPOINT_INDEX["nose"]: _FACE,
    **{_LEFT_ANKLE: slice(17, 20), _RIGHT_ANKLE: slice(20, 23)},
    **{_LEFT_WRIST: slice(91, 112), _RIGHT_WRIST: slice(112, 133)},
}
"""Feet, hands and face are believed only where the ankle, wrist or nose that they hang on is."""


@dataclass(frozen=True)
class Fused:
    """One person in one frame."""

    keypoints: Floats
    """[133, 3]."""
    spread: Floats
    """[133] pixels that the two looks lie apart, at most AGREEMENT; 0 where there is only one."""
    cue_points: Floats
    """[23, 4]."""


def fuse(person: Detection, look: Refinement | None) -> Fused:
    """Mean of both where they agree, the detection where they do not, feet, hands and face where their joint agrees."""
    keypoints = np.zeros((NUM_KEYPOINTS, 3))
    keypoints[:NUM_BODY] = person.keypoints
    spread = np.zeros(NUM_KEYPOINTS)
    if look is None:
        return Fused(keypoints, spread, np.zeros((NUM_CUE_POINTS, 4)))
    look = with_matching_sides(person, look)
    apart = np.linalg.norm(look.keypoints[:NUM_BODY, :2] - person.keypoints[:, :2], axis=1)
    known = look.keypoints[:NUM_BODY, 2] > _MIN_CONFIDENCE
    spread[:NUM_BODY] = np.where(known, np.minimum(apart, AGREEMENT * person.diagonal), 0)
    agree = (apart < AGREEMENT * person.diagonal) & (person.keypoints[:, 2] > _MIN_CONFIDENCE)
    keypoints[:NUM_BODY] = _mean(person.keypoints, look.keypoints[:NUM_BODY], agree)
    cue = look.cue_points.copy()
    cue[:NUM_BODY, 3] *= agree
    for joint, hanging in _FOLLOWS.items():
        if agree[joint]:
            keypoints[hanging] = look.keypoints[hanging]
        elif hanging.stop <= NUM_CUE_POINTS:
            cue[hanging, 3] = 0
    return Fused(keypoints, spread, cue)


def _mean(a: Floats, b: Floats, agree: Bools) -> Floats:
    """[17, 3] mean weighted by confidence where `agree`, else a."""
    both = agree & (b[:, 2] > _MIN_CONFIDENCE)
    share = np.where(both, b[:, 2] / (a[:, 2] + b[:, 2] + 1e-9), 0)[:, None]
    confidence = np.where(both, np.maximum(a[:, 2], b[:, 2]), a[:, 2])
    return np.column_stack([a[:, :2] + share * (b[:, :2] - a[:, :2]), confidence])


def with_matching_sides(person: Detection, look: Refinement) -> Refinement:
    """The look with its sides exchanged when it took the back for the front; depth and face are wrong and dropped."""
    order = [*KEYPOINT_MIRROR, *range(23, 91), *range(112, 133), *range(91, 112)]
    exchanged = look.keypoints[order]
    exchanged[_FACE, 2] = 0
    if _distance(person, exchanged) >= 0.5 * _distance(person, look.keypoints):
        return look
    cue = look.cue_points.copy()
    cue[:, 3] = 0
    return replace(look, keypoints=exchanged, cue_points=cue)


def _distance(person: Detection, keypoints: Floats) -> float:
    """Mean distance of shoulders to ankles in pixels, weighted by confidence."""
    limbs = slice(5, NUM_BODY)
    apart = np.linalg.norm(keypoints[limbs, :2] - person.keypoints[limbs, :2], axis=1)
    return float(np.average(apart, weights=person.keypoints[limbs, 2] + 1e-6))
