"""A window on its way: blended motion, and what it is to hold."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from closemesh.interactions.pair_motion import PairMotion
from closemesh.interactions.timing import Timing


@dataclass(frozen=True)
class Blended:
    """Captured motion of two people bent through a key pose; what it touches is not yet held."""

    timing: Timing
    motion: PairMotion
    standing: Tensor  # [T, 2, 2] bool, person and foot
    anchors: Tensor  # [K, 2] int64, vertices of a and of b that meet
    gaps: Tensor  # [K, 3] metres, from the one of b to the one of a in the key pose


def interpolate(known: Tensor, values: Tensor, length: int) -> Tensor:
    """Values [length, ...] of every frame, without overshoot, from values [F, ...] at the known frames [F]."""
    spline = PchipInterpolator(known.numpy(), values.double().numpy(), axis=0)
    return torch.as_tensor(spline(torch.arange(length).numpy()), dtype=values.dtype)
