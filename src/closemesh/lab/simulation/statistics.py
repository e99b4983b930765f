"""Statistics of samples (quantiles, correlation over time) and of a person's true keypoints (size, axes, facing)."""

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
_MIN_PAIRS = 200  # Pairs of frames; fewer do not determine a correlation.

MIRROR = list(KEYPOINT_MIRROR)
ARMS, LEGS = list(range(5, 11)), list(range(11, 23))
"""Keypoints whose sides a detector exchanges together."""
LIMB_KINDS = tuple(
    [KEYPOINT_INDEX[f"{side}_{name}"] for side in ("left", "right")] for name in ("elbow", "wrist", "knee", "ankle")
)
"""Pairs of keypoints that snap to the partner's keypoints of the same kind."""
FACINGS = ("back", "side", "front")
FLIPS = ("all", "arms", "legs")
_FACING = 0.2  # Fraction of the trunk's length: minimal width of a trunk that shows its front or back.
_SHOULDERS, _HIPS = [5, 6], [11, 12]


def quantiles(samples: Floats) -> Floats:
    """[Q] quantiles of samples [N] at LEVELS."""
    return np.quantile(samples, LEVELS)


def normal_scores(samples: Floats) -> Floats:
    """[N] standard normal numbers with the ranks of samples [N]."""
    return ndtri((rankdata(samples) - 0.5) / len(samples))


def rayleigh_lengths(distances: Floats) -> Floats:
    """[N] lengths of two standard normal numbers, with the ranks of distances [N]."""
    rank = (rankdata(distances) - 0.5) / len(distances)
    return np.sqrt(-2 * np.log(1 - rank))


def lagged_correlation(series: list[Floats]) -> Floats:
    """[LAGS] correlation over time of series [T, ...] with mean 0 and standard deviation 1; nan with too few pairs."""
    correlations = []
    for lag in LAGS:
        products = [(one[lag:] * one[:-lag]).ravel() for one in series if len(one) > lag]
        pooled = np.concatenate(products) if products else np.empty(0)
        pooled = pooled[np.isfinite(pooled)]
        correlations.append(pooled.mean() if len(pooled) >= _MIN_PAIRS else np.nan)
    return np.array(correlations)


def process_variances(correlation: Floats, fps: float) -> Floats:
    """[C] variances of processes with TIMES whose sum, of variance 1, has this correlation [LAGS] (nan: unknown).

    Without any known correlation the noise is white.
    """
    known = np.isfinite(correlation)
    if not known.any():
        return np.eye(len(TIMES))[0]
    lags = np.array(LAGS)[known] / fps
    decay = np.exp(-lags[:, None] / TIMES[1:])  # White noise has no correlation.
    variances, _ = nnls(decay, np.clip(correlation[known], 0, 0.999))
    variances = variances / max(variances.sum(), 1)
    return np.concatenate([[1 - variances.sum()], variances])


def event_variances(events: list[Floats], rate: float, fps: float) -> Floats:
    """[C] `process_variances` of the latent normal number whose falling below a threshold is the event.

    events: series [T, ...] of 0 and 1, nan where unknown. rate: their mean.
    """
    if not 0 < rate < 1:
        return np.eye(len(TIMES))[0]
    std = np.sqrt(rate * (1 - rate))
    measured = lagged_correlation([(one - rate) / std for one in events])
    grid, correlation = _event_correlations(round(rate, 3) or 0.001)
    return process_variances(np.interp(measured, correlation, grid), fps)


@cache
def _event_correlations(rate: float) -> tuple[Floats, Floats]:
    """Correlations of two normal numbers, and of the events that both fall below the threshold of this rate."""
    grid = np.linspace(0, 0.99, 34)
    limit = ndtri(rate)
    covariances = [np.array([[1, r], [r, 1]]) for r in grid]
    both = [multivariate_normal.cdf([limit, limit], cov=covariance) for covariance in covariances]  # type: ignore[arg-type]
    return grid, (np.array(both) - rate**2) / (rate * (1 - rate))


def jump_fraction(median_step: float, variances: Floats, fps: float) -> float:
    """Fraction 0..1 of the variance that must jump, so that pairs of noise numbers have this median step per frame.

    Drifting noise moves a little in every frame. Jumping noise of the same correlation moves seldom and far.
    variances: [C] of the processes.
    """
    grid, steps = np.array([0, 0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.94, 0.97, 0.99, 1]), []
    tensor, times = (torch.as_tensor(array, dtype=torch.float32) for array in (variances, TIMES))
    for jumps in grid:
        generator = torch.Generator().manual_seed(0)
        noise = correlated_noise((300, 60, 1, 1, 2), tensor, times, fps, generator, jumps=float(jumps))
        steps.append(float(noise.diff(dim=1).norm(dim=-1).median()))
    return float(np.interp(-median_step, -np.array(steps), grid))


def correlation_factor(samples: Floats) -> Floats:
    """[K, K] Cholesky factor of the correlation of samples [N, K]; nan where unknown."""
    known: Bools = np.isfinite(samples)
    filled = np.where(known, samples, 0)
    pairs = known.astype(float).T @ known
    covariance = filled.T @ filled / np.maximum(pairs, 1)
    covariance[pairs < _MIN_PAIRS] = 0
    np.fill_diagonal(covariance, 1)
    values, vectors = np.linalg.eigh(covariance)
    positive = (vectors * np.clip(values, 1e-3, None)) @ vectors.T
    std = np.sqrt(np.diag(positive))
    return np.linalg.cholesky(positive / std[:, None] / std)


def person_size(points: Tensor) -> Tensor:
    """Pixels [...]: square root of the area of the box around keypoints, points [..., 23, 2], as COCO measures people.

    Each side counts at least a quarter of the other: a person seen exactly from the side is not small.
    """
    extent = points.amax(-2) - points.amin(-2)
    return torch.maximum(extent, 0.25 * extent.flip(-1)).clamp(min=1).prod(-1).sqrt()


def trunk_axes(points: Tensor, size: Tensor) -> Tensor:
    """[..., 2, 2] unit vector from mid-hip to mid-shoulder, and vector from right to left side over the person's size.

    points: [..., 23, 2] pixels. size: [...] pixels.
    """
    up = torch.nn.functional.normalize(points[..., _SHOULDERS, :].mean(-2) - points[..., _HIPS, :].mean(-2), dim=-1)
    across = (points[..., [5, 11], :] - points[..., [6, 12], :]).mean(-2) / size[..., None]
    return torch.stack([up, across], dim=-2)


def facing_class(points: Tensor) -> Tensor:
    """[...] 0 back, 1 side, 2 front: the side of the person that the image shows; points [..., 23, 2] pixels."""
    trunk = points[..., _SHOULDERS, :].mean(-2) - points[..., _HIPS, :].mean(-2)
    right = torch.stack([-trunk[..., 1], trunk[..., 0]], dim=-1)
    across = (points[..., [5, 11], :] - points[..., [6, 12], :]).mean(-2)
    facing = (across * right).sum(-1) / trunk.square().sum(-1).clamp(min=1)
    return 1 + (facing > _FACING).long() - (facing < -_FACING).long()
