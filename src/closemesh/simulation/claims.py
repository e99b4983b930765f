"""One point that two people claim: the rule of the observation stage, in batches, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

_SAME_POINT = 0.02  # Of the box diagonal.
_RIVAL = 0.7  # Of the own confidence; with less a claim does not count.
_TAKEN = [7, 8, 9, 10, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22]
"""Elbows, wrists, knees, ankles and feet."""
_ARMS = 4  # The first of them.


def box_diagonal(points: Tensor) -> Tensor:
    """Pixels [...]: diagonal of the box around the body keypoints of points [..., 23, 2]."""
    body = points[..., :17, :]
    return (body.amax(-2) - body.amin(-2)).norm(dim=-1)


def lost_claims(points: Tensor, confidence: Tensor, diagonal: Tensor) -> Tensor:
    """Bools [..., P, 23]: another person claims the same point and is not clearly less sure of it.

    points [..., P, 23, 2] pixels, confidence [..., P, 23], diagonal [..., P] of each person's box in pixels. The same
    rule as `observe.sigmas.settle_claims`.
    """
    claims, sure = points[..., _TAKEN, :], confidence[..., _TAKEN]
    apart = (claims[..., :, None, :, None, :] - claims[..., None, :, None, :, :]).norm(dim=-1)  # [..., P, P, K, K]
    limit = _SAME_POINT * torch.minimum(diagonal[..., :, None], diagonal[..., None, :])[..., None, None]
    arm = torch.arange(len(_TAKEN), device=points.device) < _ARMS
    rival = (
        (apart < limit) & (arm[:, None] == arm) & (sure[..., None, :, None, :] > _RIVAL * sure[..., :, None, :, None])
    )
    people = points.shape[-3]
    rival = rival & ~torch.eye(people, dtype=torch.bool, device=points.device)[:, :, None, None]
    lost = torch.zeros_like(confidence, dtype=torch.bool)
    lost[..., _TAKEN] = rival.any(-1).any(-2)
    return lost
