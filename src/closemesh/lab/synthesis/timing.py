"""Timing and blending curves.

When things happen in a window: how fast the captured clips play, and how offsets fade in and out.

A window on its way: blended motion, and what it is to hold.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from closemesh.lab.synthesis.pair_motion import PairMotion

FPS = 30.0
_RAMP = 0.8  # Seconds over which a clip slows down before contact, and speeds up after it.


@dataclass(frozen=True)
class Timing:
    """Frames of a window. The touches are held from `first` to `last`; all of it at FPS."""

    length: int
    first: int
    last: int
    closing: int
    """Frames in which the touches come together, and come apart."""
    reaching: int
    """Frames before that in which limbs leave the captured motion."""
    speed: float
    """Of the captured clips away from contact, 1 as captured."""
    calm: float
    """Share of that speed which is left while contact lasts."""
    lingering: tuple[int, int]
    """Frames before and after contact in which limbs keep the shape of the hold while the two walk."""

    @property
    def key(self) -> float:
        """The frame of the key pose."""
        return (self.first + self.last) / 2

    @property
    def starts_in_contact(self) -> bool:
        return self.first == 0

    @property
    def ends_in_contact(self) -> bool:
        return self.last == self.length - 1

    def contact(self) -> Tensor:
        """[T] bool."""
        frames = torch.arange(self.length)
        return (frames >= self.first) & (frames <= self.last)

    def played(self, rate: float) -> Tensor:
        """[T] captured frames from the key pose on, negative before it; `rate` slows all of it."""
        frames = torch.arange(self.length, dtype=torch.float32)
        away = torch.maximum(self.first - frames, frames - self.last).clamp(min=0) / (_RAMP * FPS)
        pace = self.speed * rate * (self.calm + (1 - self.calm) * smooth_step(away))
        passed = torch.cat([pace.new_zeros(1), ((pace[1:] + pace[:-1]) / 2).cumsum(0)])
        middle = int(self.key)
        return passed - (passed[middle] + (self.key - middle) * pace[middle])

    def closeness(self) -> Tensor:
        """[T] 0 while the captured pose rules, 1 from shortly before contact until shortly after it."""
        before, after = self.first - self.lingering[0], self.last + self.lingering[1]
        return self._plateau((before - self.reaching, before), (after, after + self.reaching))

    def grip(self) -> Tensor:
        """[T] 1 while the hands are shaped for the hold, 0 when they have let go."""
        return self._plateau((self.first - self.closing, self.first), (self.last, self.last + self.closing))

    def passing(self) -> Tensor:
        """[T] 0 before contact, 1 after it: from the clip that leads there to the clip that leads away."""
        frames = torch.arange(self.length, dtype=torch.float32)
        return smooth_step((frames - self.first) / max(self.last - self.first, 1))

    def _plateau(self, start: tuple[float, float], end: tuple[float, float]) -> Tensor:
        frames = torch.arange(self.length, dtype=torch.float32)
        up = smooth_step((frames - start[0]) / (start[1] - start[0]))
        down = smooth_step((end[1] - frames) / (end[1] - end[0]))
        return torch.minimum(
            up if not self.starts_in_contact else torch.ones_like(up),
            down if not self.ends_in_contact else torch.ones_like(down),
        )


def smooth_step(x: Tensor) -> Tensor:
    """From 0 to 1 over x in 0..1, with velocity and acceleration zero at both ends."""
    x = x.clamp(0, 1)
    return x * x * x * (x * (6 * x - 15) + 10)


@dataclass(frozen=True)
class BlendedMotion:
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
