"""The small movements of people who hold a pose."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from closemesh.body.skeleton import JOINT_NAMES
from closemesh.interactions.timing import FPS

_WAVES = 4
_FREQUENCIES = 0.15, 0.7  # Hz.
# Standard deviation in radians of each joint.
_AMPLITUDES = {
    **{"spine1": 0.006, "spine2": 0.006, "spine3": 0.006, "neck": 0.015, "head": 0.03, "collar": 0.005},
    **{"shoulder": 0.015, "elbow": 0.02, "wrist": 0.015},
}
_SWAY = 0.005  # Metres, standard deviation of the pelvis along x and z.


def living_turns(length: int, generator: torch.Generator) -> Tensor:
    """Smooth random rotation vectors [length, 2, 22, 3] of trunk, head and arms of two people."""
    amplitudes = torch.tensor([_AMPLITUDES.get(name.split("_")[-1], 0.0) for name in JOINT_NAMES[:22]])
    return _waves(length, (2, len(amplitudes), 3), generator) * amplitudes[:, None]


def common_sway(length: int, generator: torch.Generator) -> Tensor:
    """Offset [length, 1, 3] of two pelvises that sway together."""
    sway = _waves(length, (1, 3), generator) * _SWAY
    sway[..., 1] = 0
    return sway


def _waves(length: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Sums [length, *shape] of slow sines with a standard deviation of 1."""
    times = torch.arange(length) / FPS
    low, high = _FREQUENCIES
    frequency = low + (high - low) * torch.rand(_WAVES, *shape, generator=generator)
    phase = torch.rand(_WAVES, *shape, generator=generator)
    angle = 2 * math.pi * (times.view(-1, 1, *[1] * len(shape)) * frequency + phase)
    return angle.sin().sum(1) * math.sqrt(2 / _WAVES)
