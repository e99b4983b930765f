"""The measured error distributions: file, quantiles, and noise that is correlated over time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from closemesh.core.arrays import Floats, read_npz
from closemesh.core.errors import ModelFileError
from closemesh.core.files import atomic_file
from closemesh.core.tensor_dataclass import TensorDataclass, static
from closemesh.weights.locate import find_model
from closemesh.weights.registry import DETECTOR_ERRORS

MODEL_FILE = DETECTOR_ERRORS.name

_TABLE = static()  # A field without a time axis.


@dataclass(frozen=True)
class DetectorErrors(TensorDataclass):
    """Distributions of the detector's errors, before keypoints that two people claim are resolved.

    Axes: 23 keypoints; 2 = visible, hidden; Q quantile levels; E classes of distance from the true point; C correlation
    times; S classes of the hidden fraction of a person. Lengths are fractions of the person's size (`person_size`).
    Variances [C] belong to the noise processes with the correlation times and sum to 1.
    """

    levels: Tensor = field(metadata=_TABLE)  # [Q] 0..1
    times: Tensor = field(metadata=_TABLE)  # [C] seconds
    error_edges: Tensor = field(metadata=_TABLE)  # [E - 1]
    hidden_edges: Tensor = field(metadata=_TABLE)  # [S - 1] fractions of hidden keypoints

    bias: Tensor = field(metadata=_TABLE)  # [23, 2, 2] mean offset up the trunk and along its left-right axis
    error: Tensor = field(metadata=_TABLE)  # [23, 2, Q] distance from the biased point
    error_variances: Tensor = field(metadata=_TABLE)  # [23, C]
    error_mixing: Tensor = field(metadata=_TABLE)  # [23, 23] Cholesky factor of the correlation between keypoints
    jumps: Tensor = field(metadata=_TABLE)  # [23] fraction of the errors' variance that jumps; the rest drifts
    miss: Tensor = field(metadata=_TABLE)  # [23, 2] fraction of frames without the keypoint
    miss_variances: Tensor = field(metadata=_TABLE)  # [C]
    partner_snap: Tensor = field(metadata=_TABLE)  # [23, 2] fraction of frames on a near partner's keypoint
    partner_snap_variances: Tensor = field(metadata=_TABLE)  # [C]

    confidence: Tensor = field(metadata=_TABLE)  # [23, 2, E, Q]
    confidence_variances: Tensor = field(metadata=_TABLE)  # [C]
    confidence_mixing: Tensor = field(metadata=_TABLE)  # [23, 23]
    disagreement: Tensor = field(metadata=_TABLE)  # [23, 2, E, Q] of both estimates, of the box diagonal

    left_right_flip: Tensor = field(metadata=_TABLE)  # [3 FLIPS, 3 FACINGS] fraction of frames
    identity_switch: Tensor = field(metadata=_TABLE)  # [S] fraction of frames on the partner's body
    absent: Tensor = field(metadata=_TABLE)  # [S] fraction of frames without the person
    event_variances: Tensor = field(metadata=_TABLE)  # [3, C] of flips, switches and absences
    track_confidence: Tensor = field(metadata=_TABLE)  # [S, Q]

    box: Tensor = field(metadata=_TABLE)  # [4, Q] distance of each side of the box outside the true points' box
    box_variances: Tensor = field(metadata=_TABLE)  # [C]

    keypoints3d_rotation: Tensor = field(metadata=_TABLE)  # [3, Q] radians, camera axes, true to estimate
    keypoints3d_scale: Tensor = field(metadata=_TABLE)  # [Q] logarithm of estimated over true size
    keypoints3d_residual: Tensor = field(metadata=_TABLE)  # [23, 2, 3, Q] m, after rotation and scale
    keypoints3d_confidence: Tensor = field(metadata=_TABLE)  # [23, 2, Q] where both estimates agree
    keypoints3d_variances: Tensor = field(metadata=_TABLE)  # [3, C] of rotation, scale and residual

    partner_confusion: Tensor = field(metadata=_TABLE)  # [23] fraction that count as hidden on a partner's limb
    outside_rate: Tensor = field(metadata=_TABLE)  # [23] fraction of keypoints beyond the border placed inside it
    outside_inset: Tensor = field(metadata=_TABLE)  # [Q] distance of these from the border
    outside_confidence: Tensor = field(metadata=_TABLE)  # [Q] of these

    measured_on: str
    """The data that the distributions come from, in words."""

    @property
    def num_keypoints(self) -> int:
        return len(self.bias)


_NAMES_IN_FILE = {
    "error_variances": "error_shares",
    "miss_variances": "miss_shares",
    "partner_snap": "snap",
    "partner_snap_variances": "snap_shares",
    "confidence_variances": "confidence_shares",
    "disagreement": "spread",
    "left_right_flip": "flip",
    "identity_switch": "swap",
    "event_variances": "event_shares",
    "track_confidence": "track_score",
    "box_variances": "box_shares",
    "keypoints3d_rotation": "cue_turn",
    "keypoints3d_scale": "cue_scale",
    "keypoints3d_residual": "cue_residual",
    "keypoints3d_confidence": "cue_confidence",
    "keypoints3d_variances": "cue_shares",
}
_NAMES = {
    one.name: _NAMES_IN_FILE.get(one.name, one.name) for one in fields(DetectorErrors) if one.name != "measured_on"
}
"""Name in the file of each table."""
_MATCHED = ("partner_confusion", "outside_rate", "outside_inset", "outside_confidence")  # Not in older files.
_FAULT = "does not hold detector errors"


def load_detector_errors(path: Path | None = None) -> DetectorErrors:
    """The errors in `path`, or the bundled ones, in float32.

    Raises ModelFileError when the file is missing or damaged.
    """
    path = find_model(MODEL_FILE) if path is None else path
    required = (*(name for name in _NAMES.values() if name not in _MATCHED), "measured_on")
    arrays = read_npz(path, required, _MATCHED, ModelFileError, _FAULT, "reinstall closemesh")
    arrays = {**no_matched_errors(len(arrays["jumps"]), len(arrays["levels"])), **arrays}
    try:
        tables = {name: torch.as_tensor(arrays[stored].astype(np.float32)) for name, stored in _NAMES.items()}
    except ValueError as error:  # Text instead of numbers.
        raise ModelFileError(f"{path} {_FAULT} ({error}); reinstall closemesh") from error
    return DetectorErrors(**tables, measured_on=str(arrays["measured_on"]))


def no_matched_errors(keypoints: int, levels: int) -> dict[str, Floats]:
    """The tables [...] of a detector that partners do not confuse and that places nothing beyond the border inside.

    keypoints: number of them. levels: number of quantile levels.
    """
    zeros = (np.zeros(count) for count in (keypoints, keypoints, levels, levels))
    return dict(zip(_MATCHED, zeros, strict=True))


def save_detector_errors(path: Path, errors: DetectorErrors) -> None:
    """Write the errors as .npz in half precision. Raises OutputError when the file cannot be written."""
    tables = {stored: getattr(errors, name).cpu().numpy().astype(np.float16) for name, stored in _NAMES.items()}
    tables |= {name: getattr(errors, name).cpu().numpy() for name in ("levels", "times")}
    with atomic_file(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **tables, measured_on=np.array(errors.measured_on))


def correlated_noise(
    shape: tuple[int, ...],
    variances: Tensor,
    times: Tensor,
    fps: float,
    generator: torch.Generator,
    mixing: Tensor | None = None,
    jumps: Tensor | float = 0.0,
) -> Tensor:
    """Standard normal numbers of `shape` [..., T, P, K, D], correlated over T.

    They are a sum of C processes. The correlation of process c falls off as exp(-t / times[c]); time 0 is white noise.
    variances: [C] or [K, C] of the processes, sum 1. times: [C] seconds. mixing: [K, K] Cholesky factor of the
    correlation between keypoints. jumps: a number or [K], 0..1, the fraction of each variance that stays constant and
    jumps now and then; the rest drifts. All tensors live on the device of `variances`.
    """
    decay = torch.where(times > 0, torch.exp(-1 / (fps * times)), 0.0)  # [C]
    decay = decay.reshape(-1, *(1 for _ in shape[:-4]), 1, 1, 1)
    jumps = torch.as_tensor(jumps, dtype=variances.dtype, device=variances.device).expand(shape[-2])[:, None]
    each = variances.expand(shape[-2], len(times))  # [K, C]
    total = torch.zeros(shape, dtype=variances.dtype, device=variances.device)
    for process, variance in ((_drift, (1 - jumps) * each), (_jump, jumps * each)):
        if variance.any():
            size = (len(times), *shape)
            white = torch.randn(size, generator=generator, dtype=variances.dtype, device=variances.device)
            white = white if mixing is None else torch.einsum("kj,...jd->...kd", mixing, white)
            total += torch.einsum("kc,c...kd->...kd", variance.sqrt(), process(white, decay, generator))
    return total


def _drift(white: Tensor, decay: Tensor, generator: torch.Generator) -> Tensor:
    """Autoregressive noise from white noise [C, ..., T, P, K, D]; decay [C, ..., 1, 1, 1] per frame."""
    innovation = (1 - decay**2).sqrt()
    steps = list(white.unbind(-4))
    for t in range(1, len(steps)):
        steps[t] = decay * steps[t - 1] + innovation * steps[t]
    return torch.stack(steps, dim=-4)


def _jump(white: Tensor, decay: Tensor, generator: torch.Generator) -> Tensor:
    """Piecewise constant noise: each frame repeats the number before with probability `decay`, or draws a new one."""
    repeat = torch.rand((*white.shape[:-1], 1), generator=generator, dtype=white.dtype, device=white.device)
    steps = list(white.unbind(-4))
    for t, rank in enumerate(repeat.unbind(-4)):
        if t > 0:
            steps[t] = torch.where(rank < decay, steps[t - 1], steps[t])
    return torch.stack(steps, dim=-4)


def normal_rank(noise: Tensor) -> Tensor:
    """Rank 0..1 of noise [...] in the standard normal distribution, same shape [...]."""
    return 0.5 * (1 + torch.erf(noise / math.sqrt(2)))


def quantile(table: Tensor, levels: Tensor, rank: Tensor, *index: Tensor) -> Tensor:
    """Values [...] of quantile functions at ranks, linear between the levels.

    table: [..., Q] quantile functions. levels: [Q] from 0 to 1. rank: [...] 0..1. index: one integer tensor [...] for
    each axis of the table but the last; they broadcast to the shape of rank.
    """
    flat = torch.zeros_like(rank, dtype=torch.long)
    for length, choice in zip(table.shape[:-1], index, strict=True):
        flat = flat * length + choice
    above = torch.searchsorted(levels, rank.contiguous()).clamp(1, len(levels) - 1)
    weight = (rank - levels[above - 1]) / (levels[above] - levels[above - 1])
    values = table.flatten()
    start = flat * len(levels) + above
    return torch.lerp(values[start - 1], values[start], weight)
