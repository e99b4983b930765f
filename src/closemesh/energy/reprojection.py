"""How far the body's keypoints fall from the detected ones."""

from __future__ import annotations

from torch import Tensor

from closemesh.energy.robust import geman_mcclure

OUTLIER_SIGMAS = 4.0  # A keypoint further off than this many standard deviations pulls no harder.


def reprojection(projected: Tensor, detected: Tensor, inverse_sigmas: Tensor) -> Tensor:
    """Robust squared distance [..., K] in standard deviations (CloseApp Eq. 4, with a sigma for each keypoint).

    projected and detected [..., K, 2] pixels, inverse_sigmas [..., K] 1/pixels, 0 for what was not seen.
    """
    return geman_mcclure((projected - detected).square().sum(-1) * inverse_sigmas.square(), OUTLIER_SIGMAS)
