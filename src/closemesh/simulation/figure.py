"""What the picture of a person's true keypoints tells about size, axes and view."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.body.skeleton import KEYPOINT_INDEX, KEYPOINT_MIRROR

MIRROR = list(KEYPOINT_MIRROR)
ARMS, LEGS = list(range(5, 11)), list(range(11, 23))
"""Keypoints whose sides a detector exchanges together."""
LIMB_KINDS = tuple(
    [KEYPOINT_INDEX[f"{side}_{name}"] for side in ("left", "right")] for name in ("elbow", "wrist", "knee", "ankle")
)
"""Pairs of keypoints that are taken for the partner's of the same kind."""
VIEWS = ("back", "side", "front")
FLIPS = ("all", "arms", "legs")
_FACING = 0.2  # Of the trunk's length: how wide the trunk must be for its front or back to be seen.
_SHOULDERS, _HIPS = [5, 6], [11, 12]


def person_size(points: Tensor) -> Tensor:
    """Pixels [...]: square root of the area of the box around keypoints [..., 23, 2], as COCO measures people.

    The box counts as at least a quarter as wide as it is high and the other way round: a person seen exactly from
    the side is not small.
    """
    extent = points.amax(-2) - points.amin(-2)
    return torch.maximum(extent, 0.25 * extent.flip(-1)).clamp(min=1).prod(-1).sqrt()


def trunk_axes(points: Tensor, size: Tensor) -> Tensor:
    """[..., 2, 2] the unit vector from mid-hip to mid-shoulder, and right to left side over the person's size.

    points [..., 23, 2] and size [...] in pixels.
    """
    up = torch.nn.functional.normalize(points[..., _SHOULDERS, :].mean(-2) - points[..., _HIPS, :].mean(-2), dim=-1)
    across = (points[..., [5, 11], :] - points[..., [6, 12], :]).mean(-2) / size[..., None]
    return torch.stack([up, across], dim=-2)


def view(points: Tensor) -> Tensor:
    """[...] 0 back, 1 side, 2 front: which of them the picture shows of keypoints [..., 23, 2]."""
    trunk = points[..., _SHOULDERS, :].mean(-2) - points[..., _HIPS, :].mean(-2)
    right = torch.stack([-trunk[..., 1], trunk[..., 0]], dim=-1)
    across = (points[..., [5, 11], :] - points[..., [6, 12], :]).mean(-2)
    facing = (across * right).sum(-1) / trunk.square().sum(-1).clamp(min=1)
    return 1 + (facing > _FACING).long() - (facing < -_FACING).long()
