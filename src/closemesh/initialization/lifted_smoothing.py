"""The lifter's prediction smoothed over time, each frame and joint with its predicted standard deviation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.linalg import solveh_banded
from torch import Tensor

from closemesh.core.arrays import Floats
from closemesh.geometry.rotations import matrix_to_6d, rotation_6d_to_matrix
from closemesh.initialization.lifting_network import PoseDistribution

_HIDDEN_PRECISION = 1e-6  # Relative to a frame with a detection: without one, the lifter only guesses.


@dataclass(frozen=True)
class VelocityPrior:
    """The velocity as an Ornstein-Uhlenbeck process: it persists for a while and then falls to zero."""

    std: float
    """Of the velocity, per second."""
    memory: float
    """Time constant in seconds."""


ROTATION_VELOCITY = VelocityPrior(5.0, 0.15)  # Of the 6D representation.
PLACE_VELOCITY = VelocityPrior(0.2, 1.0)  # Of the ray and of the logarithm of the depth.
CORRELATED_FRAMES = 10.0  # The lifter's errors are alike in neighboring frames: so many frames count as one.


def smooth_lifted(lifted: PoseDistribution, times: Tensor, detected: Tensor) -> PoseDistribution:
    """The most likely motion under the velocity priors, given the lifter's mean and std in each frame.

    A depth with a std of meters, as a limb alone gives it, follows the frames around it; so do frames without a
    detection. The std are unchanged. times [B, T] seconds, detected [B, T] bool.
    """
    precision = torch.where(detected, 1.0, _HIDDEN_PRECISION)[..., None] / CORRELATED_FRAMES
    rotations = matrix_to_6d(torch.cat([lifted.root[:, :, None], lifted.body_pose], dim=2))
    rotations = _smooth(rotations, precision / lifted.rotation_std.square(), times, ROTATION_VELOCITY)
    matrices = rotation_6d_to_matrix(rotations)
    place = torch.cat([lifted.ray, lifted.log_depth[..., None]], dim=-1)[..., None]  # [B, T, 3, 1]
    place = _smooth(place, precision / lifted.place_std.square(), times, PLACE_VELOCITY)[..., 0]
    return replace(
        lifted, root=matrices[:, :, 0], body_pose=matrices[:, :, 1:], ray=place[..., :2], log_depth=place[..., 2]
    )


def _smooth(values: Tensor, precision: Tensor, times: Tensor, prior: VelocityPrior) -> Tensor:
    """The most likely path of values [B, T, C, D], measured with precision [B, T, C]."""
    if values.shape[1] < 3:
        return values
    measured, weights = values.double().cpu().numpy(), precision.double().cpu().numpy()
    smooth = np.empty_like(measured)
    for b, bands in enumerate(path_precision(frames, prior) for frames in times.double().cpu().numpy()):
        for c in range(measured.shape[2]):
            system = bands.copy()
            system[0] += weights[b, :, c]
            smooth[b, :, c] = solveh_banded(system, weights[b, :, c, None] * measured[b, :, c], lower=True)
    return torch.as_tensor(smooth).to(values)


def path_precision(times: Floats, prior: VelocityPrior) -> Floats:
    """[3, T] lower bands of the inverse covariance of a path under the prior, its place aside; times [T] seconds."""
    step = np.diff(times)
    keep = np.exp(-step[1:] / prior.memory)
    # Rows a x_t + b x_t+1 + c x_t+2 of independent variables of unit variance: changes of the velocity.
    unit = 1 / (prior.std * np.sqrt(1 - keep**2))
    a, c = unit * keep / step[:-1], unit / step[1:]
    b = -a - c
    bands = np.zeros((3, len(times)))
    bands[0, :-2] += a * a
    bands[0, 1:-1] += b * b
    bands[0, 2:] += c * c
    bands[1, :-2] += a * b
    bands[1, 1:-1] += b * c
    bands[2, :-2] += a * c
    first = 1 / (prior.std * step[0])  # The first velocity.
    bands[0, :2] += first**2
    bands[1, 0] -= first**2
    return bands
