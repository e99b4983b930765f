"""How far each joint may be turned to close contact."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_INDEX, JOINT_NAMES
from closemesh.interactions.levers import FREE_JOINTS

_ARM, _TRUNK, _LEG, _HEAD, _ROOT = 0.30, 0.12, 0.10, 0.15, 0.06  # Radians, standard deviations.
SHIFT = 0.03  # Metres that a pelvis may move.
_FIXED = 1e-3

Legs = tuple[bool, bool]
"""Of the left and the right leg."""


def touching_legs(body: BodyModel, anchors: Tensor) -> tuple[Legs, Legs]:
    """Whether the left and the right leg hold an anchor, of a and of b; anchors [K, 2] vertex ids."""
    moved_by = body.skin_weights.argmax(-1)[anchors]  # [K, 2]
    legs = [[JOINT_INDEX[f"{side}_{name}"] for name in ("knee", "ankle", "foot")] for side in ("left", "right")]
    a, b = (tuple(bool(torch.isin(moved_by[:, p], torch.tensor(leg)).any()) for leg in legs) for p in (0, 1))
    return a, b  # type: ignore[return-value]


def parameter_sigmas(anchors: Tensor, body: BodyModel, rooted: bool = False, shift: float = SHIFT) -> Tensor:
    """Standard deviation [2 * NUM_PARAMETERS] of each parameter; a leg that touches is as free as an arm.

    rooted: pelvis and standing legs do not move; otherwise a pelvis does by `shift` metres.
    """
    people = []
    for legs in touching_legs(body, anchors):
        turns = torch.tensor([_joint_sigma(JOINT_NAMES[joint], legs, rooted) for joint in FREE_JOINTS])
        people.append(torch.cat([turns.repeat_interleave(3), torch.full((3,), _FIXED if rooted else shift)]))
    return torch.cat(people)


def _joint_sigma(name: str, touching: Legs, rooted: bool) -> float:
    side, _, part = name.rpartition("_")
    if part in ("hip", "knee", "ankle"):
        if touching[side == "right"]:
            return _ARM
        return _FIXED if rooted else _LEG
    if part == "pelvis":
        return _FIXED if rooted else _ROOT
    if part in ("neck", "head"):
        return _HEAD
    return _TRUNK if part.startswith("spine") or part == "collar" else _ARM
