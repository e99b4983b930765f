"""Finger poses of a few shapes of the hand, and the ways in which fingers give."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.interactions.recipe import HandShape

NUM_BENDS = 6
"""Ways in which a hand gives: index, middle, little and ring finger close, the thumb goes beside and under the palm."""

_FINGERS = 4  # The thumb comes last in the skeleton.
# Degrees of flexion of the three joints of each finger.
_FLEXION: dict[str, tuple[float, float, float]] = {"grip": (35, 40, 20), "fist": (82, 92, 62)}
# Degrees about the axes of the left hand in the zero pose, for the three joints of the thumb.
_THUMB: dict[str, tuple[tuple[float, float, float], ...]] = {
    "grip": ((15, 0, 0), (0, 10, 0), (0, 15, 0)),
    "fist": ((25, 25, -25), (0, 35, 0), (0, 45, 0)),
}
_BEND_SHARES = (1.0, 0.9, 0.6)  # Of the joints of a finger, from the knuckle.
_MIRROR = (1.0, -1.0, -1.0)


def hand_shapes(body: BodyModel, shapes: Sequence[tuple[HandShape, HandShape]]) -> Tensor:
    """Axis-angle [len(shapes), 30, 3] in radians of pairs of a left and a right hand."""
    return torch.stack([torch.cat([_hand(body, left, 0), _hand(body, right, 1)]) for left, right in shapes])


def bend_directions(like: Tensor) -> Tensor:
    """Axis-angle [2, NUM_BENDS, 15, 3] of the left and right hand's joints for one radian of each bend."""
    left = like.new_zeros(NUM_BENDS, 15, 3)
    # The fingers of the left hand point along +x with the palm down and the thumb forward: they close about -z.
    for joint, share in enumerate(_BEND_SHARES):
        for finger in range(_FINGERS):
            left[finger, 3 * finger + joint, 2] = -share
        left[_FINGERS, 3 * _FINGERS + joint, 1] = share
    left[_FINGERS + 1, 3 * _FINGERS, 0] = 1.0
    return torch.stack([left, left * torch.tensor(_MIRROR).to(left)])


def _hand(body: BodyModel, shape: HandShape, side: int) -> Tensor:
    """[15, 3] of one hand; side 0 is left."""
    if shape == "relaxed":
        return body.hand_mean[side]
    if shape == "flat":
        return torch.zeros_like(body.hand_mean[side])
    joints = [(0.0, 0.0, -angle) for _ in range(_FINGERS) for angle in _FLEXION[shape]] + list(_THUMB[shape])
    pose = torch.tensor(joints).to(body.hand_mean) * (math.pi / 180)
    return pose if side == 0 else pose * torch.tensor(_MIRROR).to(pose)
