"""Keypoint losses: robust kernels, reprojection error, direction of limbs in monocular 3D keypoints."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def geman_mcclure(squared_residual: Tensor, scale: float) -> Tensor:
    """Robust loss [...] of squared_residual [...] that saturates at scale**2 (Geman & McClure 1987).

    The argument is the square, so that the gradient stays finite where a distance is zero.
    """
    return squared_residual / (1 + squared_residual / scale**2)


def pseudo_huber(squared_residual: Tensor, scale: float) -> Tensor:
    """Robust loss [...] of squared_residual [...] that grows linearly beyond `scale` (Charbonnier et al. 1994)."""
    return 2 * scale**2 * ((1 + squared_residual / scale**2).sqrt() - 1)


OUTLIER_SIGMAS = 4.0  # Standard deviations beyond which the gradient of a keypoint vanishes.


def reprojection(
    projected: Tensor, detected: Tensor, inv_sigma: Tensor, outlier_sigmas: float = OUTLIER_SIGMAS
) -> Tensor:
    """Robust squared distance [..., K] in standard deviations (CloseApp Eq. 4, with a sigma for each keypoint).

    projected [..., K, 2] and detected [..., K, 2] in pixels, inv_sigma [..., K] in 1/pixels, 0 if not detected.
    outlier_sigmas: standard deviations beyond which the gradient vanishes.
    """
    return geman_mcclure((projected - detected).square().sum(-1) * inv_sigma.square(), outlier_sigmas)


def inside_border(projected: Tensor, border: Tensor) -> Tensor:
    """Robust squared distance [..., K] in standard deviations by which joints outside the image project into it.

    projected [..., K, 2] in pixels. border [..., K, 3]: a x + b y + c is the distance inside, 0 for joints that are
    not known to be outside. The gradient does not vanish: a joint far inside the image is certainly wrong.
    """
    inside = (projected * border[..., :2]).sum(-1) + border[..., 2]
    return pseudo_huber(inside.clamp(min=0).square(), OUTLIER_SIGMAS)


# Ends (from, to) of each segment by COCO-WholeBody keypoint 0-22; several keypoints are averaged.
SEGMENTS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((12,), (11,)),  # right hip to left hip
    ((6,), (5,)),  # right shoulder to left shoulder
    ((11, 12), (5, 6)),  # trunk
    ((5, 6), (0,)),  # neck to nose
    *(((5,), (7,)), ((6,), (8,)), ((7,), (9,)), ((8,), (10,))),  # arms
    *(((11,), (13,)), ((12,), (14,)), ((13,), (15,)), ((14,), (16,))),  # legs
    *(((19,), (17,)), ((22,), (20,))),  # heel to big toe
)
OUTLIER = 3.0  # Sigmas beyond which the gradient of a direction vanishes.


def limb_directions(points: Tensor) -> Tensor:
    """Unit vectors [..., L, 3] along SEGMENTS of body and foot keypoints points [..., 23, 3]."""
    starts = torch.stack([points[..., start, :].mean(-2) for start, _ in SEGMENTS], dim=-2)
    ends = torch.stack([points[..., end, :].mean(-2) for _, end in SEGMENTS], dim=-2)
    return F.normalize(ends - starts, dim=-1, eps=1e-6)


def limb_confidence(confidence: Tensor) -> Tensor:
    """Confidence [..., L] of each segment, the minimum over its ends; confidence [..., 23]."""
    return torch.stack([confidence[..., [*start, *end]].amin(-1) for start, end in SEGMENTS], dim=-1)


def limb_direction_error(directions: Tensor, detected: Tensor, sigma: float) -> Tensor:
    """Robust squared difference [..., L] of unit vectors directions [..., L, 3] and detected [..., L, 3].

    In units of sigma, radians for small angles.
    """
    return geman_mcclure((directions - detected).square().sum(-1) / sigma**2, OUTLIER)
