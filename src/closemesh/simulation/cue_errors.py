"""The image-based 3D cue of known people, with the errors of the network that gives it."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.simulation.detector_errors import DetectorErrors
from closemesh.simulation.noise import lasting_noise, normal_rank, quantile

_HIPS = [11, 12]


def sample_cue(
    points_cam: Tensor,
    hidden: Tensor,
    agree: Tensor,
    errors: DetectorErrors,
    generator: torch.Generator,
    fps: float = 30.0,
) -> Tensor:
    """Cue points [..., T, P, 23, 4]: metres from the mid-hip in camera axes, and confidence.

    points_cam [..., T, P, 23, 3] true points in metres; hidden [..., T, P, 23]; agree [..., T, P, 23] whether both
    looks mean the same point, else the confidence is 0. The whole person is turned and scaled by what lasts long, then
    every point moves by itself.
    """
    truth = points_cam - points_cam[..., _HIPS, :].mean(-2, keepdim=True)
    people, device = points_cam.shape[:-2], points_cam.device

    def rank(shares: Tensor, *shape: int) -> Tensor:
        return normal_rank(lasting_noise((*people, *shape), shares, errors.times, fps, generator))

    axis, keypoint = torch.arange(3, device=device), torch.arange(errors.num_keypoints, device=device)
    turn = quantile(errors.cue_turn, errors.levels, rank(errors.cue_shares[0], 1, 3)[..., 0, :], axis)
    scale = quantile(errors.cue_scale, errors.levels, rank(errors.cue_shares[1], 1, 1)[..., 0, 0])
    ranks = rank(errors.cue_shares[2], errors.num_keypoints, 3)
    moved = quantile(errors.cue_residual, errors.levels, ranks, keypoint[:, None], hidden.long()[..., None], axis)
    points = scale.exp()[..., None, None] * truth @ axis_angle_to_matrix(turn).transpose(-1, -2) + moved
    points = points - points[..., _HIPS, :].mean(-2, keepdim=True)
    ranks = rank(errors.confidence_shares, errors.num_keypoints, 1)[..., 0]
    confidence = quantile(errors.cue_confidence, errors.levels, ranks, keypoint, hidden.long())
    return torch.cat([points, (confidence * agree).clamp(0, 1)[..., None]], dim=-1)
