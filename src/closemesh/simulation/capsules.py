"""Which keypoints the camera cannot see: fast and batched, with bodies made of capsules on their keypoints."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.body.capsules import CapsuleBody
from closemesh.geometry.camera import project
from closemesh.simulation.visibility import OWN_DEPTH, OWN_MARGIN


def hidden_by_capsules(
    keypoints_cam: Tensor, body: CapsuleBody, focal: Tensor, centre: Tensor, size: Tensor, valid: Tensor | None = None
) -> Tensor:
    """What `hidden_points` tells, [..., T, P, 23], for keypoints [..., T, P, 23, 3] in the camera frame, metres.

    focal [...], centre and size [..., 2] in pixels broadcast over frames and people; valid [..., T, P].
    """
    scalar = (..., None, None, None)
    pixels = project(keypoints_cam, focal[(*scalar, None)], centre[..., None, None, None, :])
    outside = ((pixels < 0) | (pixels >= size[..., None, None, None, :])).any(-1)
    present = torch.ones_like(outside[..., 0]) if valid is None else valid
    entry = _entry_distances(keypoints_cam, body)  # [..., T, P, K, P]
    entry = entry.masked_fill(~present[..., None, None, :], torch.inf)
    people = entry.shape[-1]
    same = torch.eye(people, dtype=torch.bool, device=entry.device)[:, None, :]  # [P, 1, P]
    own = entry.masked_fill(~same, torch.inf).amin(-1)  # [..., T, P, K]
    others = entry.masked_fill(same, torch.inf).amin(-1)
    distance = keypoints_cam.norm(dim=-1)
    behind = (others < torch.minimum(own, distance)) | (own < distance - OWN_DEPTH * body.depths - OWN_MARGIN)
    return behind | outside | ~present[..., None]


def _entry_distances(keypoints_cam: Tensor, body: CapsuleBody) -> Tensor:
    """[..., T, P, K, P] metres from the camera to where the ray to each keypoint enters each person, or infinity."""
    rays = torch.nn.functional.normalize(keypoints_cam, dim=-1)[..., None, None, :]  # [..., T, P, K, 1, 1, 3]
    ends = torch.einsum("cek,...kd->...ced", body.axes, keypoints_cam)  # [..., T, P, C, 2, 3]
    start, along = ends[..., 0, :], ends[..., 1, :] - ends[..., 0, :]
    start, along = start[..., None, None, :, :, :], along[..., None, None, :, :, :]  # [..., T, 1, 1, P, C, 3]
    # The point of the axis nearest to the ray: least squares of |start + s along| without its part along the ray.
    across_start = start - (start * rays).sum(-1, keepdim=True) * rays
    across_along = along - (along * rays).sum(-1, keepdim=True) * rays
    share = -(across_start * across_along).sum(-1) / across_along.square().sum(-1).clamp(min=1e-9)
    share = share.clamp(0, 1)[..., None]
    gap_squared = (across_start + share * across_along).square().sum(-1)  # [..., T, P, K, P, C]
    reached = ((start + share * along) * rays).sum(-1)
    depth_squared = body.radii**2 - gap_squared
    entry = reached - depth_squared.clamp(min=0).sqrt()
    return entry.masked_fill((depth_squared <= 0) | (entry <= 0), torch.inf).amin(-1)
