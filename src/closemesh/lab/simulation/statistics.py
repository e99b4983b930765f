"""Quantiles, correlations, person size and view.

Numbers that describe samples: quantiles, what lasts over time, what goes together.

What the picture of a person's true keypoints tells about size, axes and view.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from scipy.optimize import nnls
from scipy.special import ndtri
from scipy.stats import multivariate_normal, rankdata
from torch import Tensor

from closemesh.body.skeleton import KEYPOINT_INDEX, KEYPOINT_MIRROR
from closemesh.core.arrays import Bools, Floats
from closemesh.lab.simulation.detector_errors import correlated_noise

LEVELS = np.array([0, 0.01, 0.03, *np.arange(0.05, 0.91, 0.05), 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 1])
"""Ranks at which distributions are stored."""
TIMES = np.array([0.0, 0.07, 0.4, 3.0])
"""Correlation times in seconds: white noise, a few frames, a movement, most of a clip."""
LAGS = (1, 2, 3, 5, 8, 12, 18, 27)
"""Frames at which correlation is measured."""
_MIN_PAIRS = 200  # Pairs of frames; fewer say nothing of a correlation.


def quantiles(samples: Floats) -> Floats:
    """[Q] of samples [N] at LEVELS."""
    return np.quantile(samples, LEVELS)


def normal_scores(samples: Floats) -> Floats:
    """[N] what standard normal numbers of the same ranks would be."""
    return ndtri((rankdata(samples) - 0.5) / len(samples))


def rayleigh_lengths(distances: Floats) -> Floats:
    """[N] how long two standard normal numbers would be that have the ranks of these distances."""
    share = (rankdata(distances) - 0.5) / len(distances)
    return np.sqrt(-2 * np.log(1 - share))


def lagged_correlation(series: list[Floats]) -> Floats:
    """[LAGS] correlation over time of series [T, ...] of mean 0 and deviation 1; nan where unknown."""
    found = []
    for lag in LAGS:
        products = [(one[lag:] * one[:-lag]).ravel() for one in series if len(one) > lag]
        together = np.concatenate(products) if products else np.empty(0)
        together = together[np.isfinite(together)]
        found.append(together.mean() if len(together) >= _MIN_PAIRS else np.nan)
    return np.array(found)


def lasting_shares(correlation: Floats, fps: float) -> Floats:
    """[C] variances of processes with TIMES whose sum is 1 and correlates like that at LAGS; white when unknown."""
    known = np.isfinite(correlation)
    if not known.any():
        return np.eye(len(TIMES))[0]
    lags = np.array(LAGS)[known] / fps
    lasting = np.exp(-lags[:, None] / TIMES[1:])  # White noise correlates with nothing.
    shares, _ = nnls(lasting, np.clip(correlation[known], 0, 0.999))
    shares = shares / max(shares.sum(), 1)
    return np.concatenate([[1 - shares.sum()], shares])


def event_shares(events: list[Floats], rate: float, fps: float) -> Floats:
    """[C] the same for the hidden normal number that makes an event when it falls below a limit.

    events: series [T, ...] of 0 and 1, nan where unknown; rate: their mean.
    """
    if not 0 < rate < 1:
        return np.eye(len(TIMES))[0]
    spread = np.sqrt(rate * (1 - rate))
    seen = lagged_correlation([(one - rate) / spread for one in events])
    grid, correlation = _event_correlations(round(rate, 3) or 0.001)
    return lasting_shares(np.interp(seen, correlation, grid), fps)


@cache
def _event_correlations(rate: float) -> tuple[Floats, Floats]:
    """Correlations of two normal numbers, and of the events that both fall below the limit of this rate."""
    grid = np.linspace(0, 0.99, 34)
    limit = ndtri(rate)
    covariances = [np.array([[1, r], [r, 1]]) for r in grid]
    both = [multivariate_normal.cdf([limit, limit], cov=covariance) for covariance in covariances]  # type: ignore[arg-type]
    return grid, (np.array(both) - rate**2) / (rate * (1 - rate))


def jumping_share(median_step: float, shares: Floats, fps: float) -> float:
    """The variance that must jump (0..1) so that pairs of noise with these shares [C] move by this median step.

    Noise that wanders moves a little in every frame; noise that jumps seldom and far, with the same correlation.
    """
    grid, steps = np.array([0, 0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.94, 0.97, 0.99, 1]), []
    lasting, times = (torch.as_tensor(array, dtype=torch.float32) for array in (shares, TIMES))
    for jumps in grid:
        generator = torch.Generator().manual_seed(0)
        noise = correlated_noise((300, 60, 1, 1, 2), lasting, times, fps, generator, jumps=float(jumps))
        steps.append(float(noise.diff(dim=1).norm(dim=-1).median()))
    return float(np.interp(-median_step, -np.array(steps), grid))


def correlation_factor(samples: Floats) -> Floats:
    """[K, K] lower triangular, its product with its transpose the correlation of samples [N, K]; nan where unknown."""
    known: Bools = np.isfinite(samples)
    filled = np.where(known, samples, 0)
    pairs = known.astype(float).T @ known
    covariance = filled.T @ filled / np.maximum(pairs, 1)
    covariance[pairs < _MIN_PAIRS] = 0
    np.fill_diagonal(covariance, 1)
    values, vectors = np.linalg.eigh(covariance)
    positive = (vectors * np.clip(values, 1e-3, None)) @ vectors.T
    deviation = np.sqrt(np.diag(positive))
    return np.linalg.cholesky(positive / deviation[:, None] / deviation)


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
