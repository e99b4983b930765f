"""The soles of a body."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_INDEX

SOLE_THICKNESS = 0.015  # Metres above a foot's lowest vertex that still count as sole.
SOLE_POINTS = 12  # For each foot.


def sole_vertices(body: BodyModel) -> Tensor:
    """Vertex ids [2, SOLE_POINTS] spread from heel to toe under the left and the right foot."""
    soles = []
    for side in ("left", "right"):
        joints = [JOINT_INDEX[f"{side}_ankle"], JOINT_INDEX[f"{side}_foot"]]
        foot = (body.skin_weights[:, joints].sum(-1) > 0.9).nonzero()[:, 0]
        height = body.v_template[foot, 1]
        sole = foot[height < height.min() + SOLE_THICKNESS]
        along = body.v_template[sole, 2].argsort()
        spread = torch.linspace(0, len(sole) - 1, SOLE_POINTS, device=sole.device).round().long()
        soles.append(sole[along][spread])
    return torch.stack(soles)
