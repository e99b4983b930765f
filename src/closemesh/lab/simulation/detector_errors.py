"""Measured distributions, correlated noise.

How the detector errs: measured distributions, as one file of arrays.

Random numbers that remember: standard normal, correlated over time and between keypoints.
"""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from closemesh.core.errors import ModelFileError
from closemesh.core.files import atomic_file
from closemesh.weights.locate import find_model
from closemesh.weights.registry import DETECTOR_ERRORS

MODEL_FILE = DETECTOR_ERRORS.name


@dataclass(frozen=True)
class DetectorErrors:
    """Distributions of the detector's errors, before rival claims to one point are settled.

    Axes: 23 keypoints; 2 = seen, hidden; Q quantile levels; E classes of how far off a point is; C correlation times;
    S classes of how much of a person is hidden. Lengths are shares of the person's size, see `person_size`.
    """

    levels: Tensor  # [Q] 0..1
    times: Tensor  # [C] seconds
    error_edges: Tensor  # [E - 1]
    hidden_edges: Tensor  # [S - 1] shares of hidden keypoints

    bias: Tensor  # [23, 2, 2] mean offset along the trunk (upwards) and along its left-right axis
    error: Tensor  # [23, 2, Q] distance from the biased point
    error_shares: Tensor  # [23, C]
    error_mixing: Tensor  # [23, 23] Cholesky factor of the correlation between keypoints
    jumps: Tensor  # [23] share of the errors' variance that jumps rather than wanders
    miss: Tensor  # [23, 2] share of frames without the keypoint
    miss_shares: Tensor  # [C]
    snap: Tensor  # [23, 2] share of frames on the partner's keypoint instead, where that is within reach
    snap_shares: Tensor  # [C]

    confidence: Tensor  # [23, 2, E, Q]
    confidence_shares: Tensor  # [C]
    confidence_mixing: Tensor  # [23, 23]
    spread: Tensor  # [23, 2, E, Q] distance between the two looks, of the box diagonal

    flip: Tensor  # [3 FLIPS, 3 VIEWS] share of frames with left and right exchanged
    swap: Tensor  # [S] share of frames on the partner's body instead
    absent: Tensor  # [S] share of frames without the person
    event_shares: Tensor  # [3, C] of flips, swaps and absences
    track_score: Tensor  # [S, Q]

    box: Tensor  # [4, Q] x0, y0, x1, y1 outwards of the true points' box
    box_shares: Tensor  # [C]

    cue_turn: Tensor  # [3, Q] radians about the camera axes from true to given
    cue_scale: Tensor  # [Q] logarithm of given over true size
    cue_residual: Tensor  # [23, 2, 3, Q] metres along the camera axes, after turn and scale
    cue_confidence: Tensor  # [23, 2, Q] where both looks agree
    cue_shares: Tensor  # [3, C] of turn, scale and residual

    measured_on: str
    """What the numbers come from, in words."""

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> DetectorErrors:
        """The same elsewhere or in another precision."""
        tensors = {name: getattr(self, name).to(device, dtype) for name in _TENSORS}
        return DetectorErrors(**tensors, measured_on=self.measured_on)

    @property
    def num_keypoints(self) -> int:
        return len(self.bias)


_TENSORS = tuple(field.name for field in fields(DetectorErrors) if field.name != "measured_on")


def load_detector_errors(path: Path | None = None) -> DetectorErrors:
    """The errors in `path`, else the bundled ones. Raises ModelFileError when the file is missing or damaged."""
    path = find_model(MODEL_FILE) if path is None else path
    try:
        with np.load(path, allow_pickle=False) as file:
            tensors = {name: torch.as_tensor(file[name].astype(np.float32)) for name in _TENSORS}
            about = str(file["measured_on"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ModelFileError(f"{path} does not hold detector errors ({error}); reinstall closemesh") from error
    return DetectorErrors(**tensors, measured_on=about)


def save_detector_errors(path: Path, errors: DetectorErrors) -> None:
    """Write them as .npz, half precision. Raises OutputError when the file cannot be written."""
    arrays = {name: getattr(errors, name).cpu().numpy().astype(np.float16) for name in _TENSORS}
    arrays |= {name: getattr(errors, name).cpu().numpy() for name in ("levels", "times")}
    with atomic_file(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays, measured_on=np.array(errors.measured_on))


def correlated_noise(
    shape: tuple[int, ...],
    shares: Tensor,
    times: Tensor,
    fps: float,
    generator: torch.Generator,
    mixing: Tensor | None = None,
    jumps: Tensor | float = 0.0,
) -> Tensor:
    """Standard normal numbers of `shape` [..., T, P, K, D], correlated over T.

    They are a sum of C processes whose correlation falls off as exp(-t / times[c]) (0 is white noise), with variances
    shares [C] or [K, C] that add up to 1. Of each process a part with the variance `jumps` (0..1, or [K]) stands still
    and jumps to another number now and then; the rest wanders. `mixing` [K, K] makes the keypoints depend on each
    other: a matrix whose product with its transpose is their correlation. Everything lives on the device of `shares`.
    """
    decay = torch.where(times > 0, torch.exp(-1 / (fps * times)), 0.0)  # [C]
    decay = decay.reshape(-1, *(1 for _ in shape[:-4]), 1, 1, 1)
    jumps = torch.as_tensor(jumps, dtype=shares.dtype, device=shares.device).expand(shape[-2])[:, None]
    variances = shares.expand(shape[-2], len(times))  # [K, C]
    total = torch.zeros(shape, dtype=shares.dtype, device=shares.device)
    for process, variance in ((_wander, (1 - jumps) * variances), (_jump, jumps * variances)):
        if variance.any():
            white = torch.randn((len(times), *shape), generator=generator, dtype=shares.dtype, device=shares.device)
            white = white if mixing is None else torch.einsum("kj,...jd->...kd", mixing, white)
            total += torch.einsum("kc,c...kd->...kd", variance.sqrt(), process(white, decay, generator))
    return total


def _wander(white: Tensor, decay: Tensor, generator: torch.Generator) -> Tensor:
    """White noise [C, ..., T, P, K, D] made to last: each step keeps `decay` [C, ..., 1, 1, 1] of the one before."""
    fresh = (1 - decay**2).sqrt()
    steps = list(white.unbind(-4))
    for t in range(1, len(steps)):
        steps[t] = decay * steps[t - 1] + fresh * steps[t]
    return torch.stack(steps, dim=-4)


def _jump(white: Tensor, decay: Tensor, generator: torch.Generator) -> Tensor:
    """The same by keeping the whole number with the probability `decay`, else taking a new one."""
    kept = torch.rand((*white.shape[:-1], 1), generator=generator, dtype=white.dtype, device=white.device)
    steps = list(white.unbind(-4))
    for t, rank in enumerate(kept.unbind(-4)):
        if t > 0:
            steps[t] = torch.where(rank < decay, steps[t - 1], steps[t])
    return torch.stack(steps, dim=-4)


def normal_rank(noise: Tensor) -> Tensor:
    """Share of a standard normal distribution below `noise`, 0..1."""
    return 0.5 * (1 + torch.erf(noise / math.sqrt(2)))


def quantile(table: Tensor, levels: Tensor, rank: Tensor, *index: Tensor) -> Tensor:
    """Values [...] of the quantile functions table [..., Q] that `index` picks, at rank [...] in 0..1.

    One integer tensor for each axis of the table but the last; they broadcast to the shape of rank. Linear between
    the levels [Q], which go from 0 to 1.
    """
    flat = torch.zeros_like(rank, dtype=torch.long)
    for length, choice in zip(table.shape[:-1], index, strict=True):
        flat = flat * length + choice
    above = torch.searchsorted(levels, rank.contiguous()).clamp(1, len(levels) - 1)
    share = (rank - levels[above - 1]) / (levels[above] - levels[above - 1])
    values = table.flatten()
    start = flat * len(levels) + above
    return torch.lerp(values[start - 1], values[start], share)
