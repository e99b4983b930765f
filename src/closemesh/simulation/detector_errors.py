"""How the detector errs: measured distributions, as one file of arrays."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from closemesh.errors import ModelFileError
from closemesh.files import replacing
from closemesh.weights.known import DETECTOR_ERRORS
from closemesh.weights.search import find_model

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
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays, measured_on=np.array(errors.measured_on))
