"""How far each joint readily goes from a captured pose to reach a touch."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.body.skeleton import JOINT_NAMES

# Radians at a cost of one: arms reach, trunk and legs stay about as they were.
_FREEDOM = {
    **{"hip": 0.3, "knee": 0.35, "ankle": 0.3, "foot": 0.1, "spine1": 0.15, "spine2": 0.15, "spine3": 0.15},
    **{"neck": 0.2, "head": 0.2, "collar": 0.15, "shoulder": 0.6, "elbow": 0.6, "wrist": 0.5},
}


def joint_freedom(like: Tensor) -> Tensor:
    """Radians [21, 1] of the body joints, with the type and device of `like`."""
    sides = [name.removeprefix("left_").removeprefix("right_") for name in JOINT_NAMES[1:22]]
    return torch.tensor([_FREEDOM[name] for name in sides]).to(like)[:, None]
