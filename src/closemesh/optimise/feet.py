"""When feet stand."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.fitting.evidence import Evidence

STANDING_SPEED = 0.35  # m/s across the view; a foot that is slower may stand.
_SPEED_WIDTH = 0.08  # m/s over which standing fades out.


def standing_feet(soles: Tensor, evidence: Evidence) -> Tensor:
    """How surely each foot stands [T, P, 2], in 0..1, from the speed of its sole across the view.

    soles [T, P, 2, N, 3] in the camera frame. Depth is left out: a single view knows it too badly.
    """
    centre = soles.mean(-2)  # [T, P, 2, 3]
    if len(centre) < 2:
        return evidence.seen[..., None].expand(*centre.shape[:-1])
    across = centre[..., :2] / centre[..., 2:].clamp(min=0.1)
    steps = (evidence.times[1:] - evidence.times[:-1])[:, None, None]
    speed = (across[1:] - across[:-1]).norm(dim=-1) * centre[1:, ..., 2] / steps  # [T - 1, P, 2]
    slowest = torch.minimum(torch.cat([speed[:1], speed]), torch.cat([speed, speed[-1:]]))
    return torch.sigmoid((STANDING_SPEED - slowest) / _SPEED_WIDTH) * evidence.seen[..., None]
