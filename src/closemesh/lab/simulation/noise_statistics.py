"""Estimators of noise without ground truth: cores and tails, three-cornered hat, second differences, epipolar lines."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np

from closemesh.core.arrays import Floats

_RAYLEIGH_MEDIAN = np.sqrt(2 * np.log(2))  # Of the length of two standard normal numbers.
_EM_STEPS = 60
_MIN_SAMPLES = 20
_MIN_SIGMA = 1e-6
_REFINEMENTS, _INLIER_SIGMAS = 8, 2.5
NORMAL_MEDIAN = 0.6745  # Of the absolute value of a standard normal number.
_MIN_TAIL, _MAX_TAIL = 2.5, 0.4  # Of the wide part: size relative to the core, and fraction of the samples.


@dataclass(frozen=True)
class NoiseCore:
    """Lengths of 2D errors as a mixture of two isotropic normal distributions."""

    core: float
    """Standard deviation along each axis of the narrow part; nan without enough samples."""
    tail: float
    """Standard deviation along each axis of the wide part."""
    tail_fraction: float
    """0..1 of the samples in the wide part."""
    samples: int


def median_of_known(values: Floats, axis: int) -> Floats:
    """Median [...] of values [...] along an axis, without nan; nan where nothing is known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy warns where all are nan.
        return np.nanmedian(values, axis=axis)


def core_sigma(lengths: Floats) -> float:
    """Standard deviation along each axis of 2D errors of these lengths [N], from their median; nan if there are few."""
    lengths = lengths[np.isfinite(lengths)]
    return float(np.median(lengths) / _RAYLEIGH_MEDIAN) if len(lengths) >= _MIN_SAMPLES else np.nan


def fit_noise_core(lengths: Floats) -> NoiseCore:
    """The mixture for lengths [N] of 2D errors; nan are left out.

    The core comes from the median, the wide part by expectation maximization.
    """
    lengths = lengths[np.isfinite(lengths)]
    if len(lengths) < _MIN_SAMPLES:
        return NoiseCore(np.nan, np.nan, np.nan, len(lengths))
    squared = np.maximum(lengths, _MIN_SIGMA) ** 2
    core, tail, weight = float(np.median(squared)) / _RAYLEIGH_MEDIAN**2, float(np.quantile(squared, 0.98)), 0.1
    for _ in range(_EM_STEPS):
        tail = max(tail, _MIN_TAIL**2 * core)
        narrow = (1 - weight) / core * np.exp(-squared / (2 * core))
        wide = weight / tail * np.exp(-squared / (2 * tail))
        membership = wide / np.maximum(narrow + wide, 1e-300)
        tail = (squared * membership).sum() / (2 * max(membership.sum(), 1e-9))
        weight = float(np.clip(membership.mean(), 1e-3, _MAX_TAIL))
        # The median of all samples is a higher quantile of the narrow ones.
        core = float(np.quantile(squared, 0.5 * (1 - weight))) / _RAYLEIGH_MEDIAN**2
    return NoiseCore(float(np.sqrt(core)), float(np.sqrt(max(tail, _MIN_TAIL**2 * core))), weight, len(lengths))


def three_cornered_hat(points: Floats) -> Floats:
    """[N] core standard deviation along each axis of N >= 3 independent estimates of the same points.

    points: [N, S, 2] estimates of S points, nan where missing. Variances of the pairwise differences, robust, are
    solved for one variance per estimate, none below 0.
    """
    count = len(points)
    rows, values = [], []
    for a, b in combinations(range(count), 2):
        rows.append(np.isin(np.arange(count), (a, b)).astype(float))
        values.append(core_sigma(np.linalg.norm(points[a] - points[b], axis=-1)) ** 2)
    known = np.isfinite(values)
    if known.sum() < count:
        return np.full(count, np.nan)
    solved = np.linalg.lstsq(np.array(rows)[known], np.array(values)[known], rcond=None)[0]
    return np.sqrt(np.clip(solved, 0, None))


def repetition_sigma(points: Floats) -> float:
    """Core standard deviation along each axis of repeated estimates, points [V, S, 2], nan where missing.

    It is that of the differences between pairs of repetitions, over the square root of 2.
    """
    differences = [points[a] - points[b] for a, b in combinations(range(len(points)), 2)]
    return core_sigma(np.linalg.norm(np.concatenate(differences), axis=-1)) / np.sqrt(2)


def second_differences(points: Floats) -> Floats:
    """[T - 2, ...] lengths of x[t-1] - 2 x[t] + x[t+1] over sqrt(6): those of white noise have its own size.

    points: [T, ..., 2].
    """
    return np.linalg.norm(points[:-2] - 2 * points[1:-1] + points[2:], axis=-1) / np.sqrt(6)


def fundamental_matrix(a: Floats, b: Floats) -> Floats | None:
    """[3, 3] with b' F a = 0 for matching points a [S, 2] and b [S, 2] of two views, robust; None if not found."""
    if len(a) < _MIN_SAMPLES:
        return None
    F, _ = cv2.findFundamentalMat(a, b, cv2.FM_LMEDS, 1.0, 0.999, 5000)
    for _ in range(_REFINEMENTS):
        if F is None or np.shape(F) != (3, 3):
            return None
        distance = np.abs(epipolar_distances(np.asarray(F, float), a, b))
        near = distance < _INLIER_SIGMAS * max(float(np.median(distance)) / NORMAL_MEDIAN, _MIN_SIGMA)
        F, _ = cv2.findFundamentalMat(a[near], b[near], cv2.FM_8POINT)
    return None if F is None else np.asarray(F, float)


def epipolar_distances(F: Floats, a: Floats, b: Floats) -> Floats:
    """[S] signed Sampson distances in pixels of points a [S, 2] and b [S, 2]; they are as large as noise equal in both.

    F: [3, 3].
    """
    ones = np.ones((len(a), 1))
    left, right = np.hstack([a, ones]) @ F.T, np.hstack([b, ones]) @ F
    product = (np.hstack([b, ones]) * left).sum(1)
    return product / np.sqrt((left[:, :2] ** 2).sum(1) + (right[:, :2] ** 2).sum(1))
