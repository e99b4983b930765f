"""Finger poses of a few shapes of the hand; a straight hand is the zero pose."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.interactions.recipe import HandShape

# Degrees of flexion of the three joints of each finger, in the order of the skeleton without the thumb.
_FINGERS = ("index", "middle", "pinky", "ring")
_FLEXION: dict[str, tuple[float, float, float]] = {"grip": (32, 38, 24), "fist": (82, 92, 62)}
# Degrees about the axes of the left hand in the zero pose, for the three joints of the thumb.
_THUMB: dict[str, tuple[tuple[float, float, float], ...]] = {
    "grip": ((10, 0, -12), (0, 8, 0), (0, 12, 0)),
    "fist": ((25, 25, -25), (0, 35, 0), (0, 45, 0)),
}
_MIRROR = (1.0, -1.0, -1.0)


def hand_shapes(body: BodyModel, shapes: Sequence[tuple[HandShape, HandShape]]) -> Tensor:
    """Axis-angle [len(shapes), 30, 3] in radians of pairs of a left and a right hand."""
    return torch.stack([torch.cat([_hand(body, left, 0), _hand(body, right, 1)]) for left, right in shapes])


def _hand(body: BodyModel, shape: HandShape, side: int) -> Tensor:
    """[15, 3] of one hand; side 0 is left."""
    if shape == "relaxed":
        return body.hand_mean[side]
    if shape == "flat":
        return torch.zeros_like(body.hand_mean[side])
    # The fingers of the left hand point along +x with the palm down: they close about -z.
    joints = [(0.0, 0.0, -angle) for _ in _FINGERS for angle in _FLEXION[shape]] + list(_THUMB[shape])
    pose = torch.tensor(joints).to(body.hand_mean) * (math.pi / 180)
    return pose if side == 0 else pose * torch.tensor(_MIRROR).to(pose)
