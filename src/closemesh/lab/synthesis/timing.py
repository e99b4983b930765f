"""Timing of a window: speed of the captured clips, blending curves, frames in contact."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.interpolate import PchipInterpolator
from torch import Tensor

FPS = 30.0
_SLOW_DOWN_SECONDS = 0.8  # Time in which a clip slows down before contact, and speeds up after it.


@dataclass(frozen=True)
class Timing:
    """Frames of a window at FPS. Contact is held from `first` to `last`."""

    length: int
    first: int
    last: int
    closing: int
    """Frames in which contact closes before `first`, and opens after `last`."""
    transition: int
    """Frames in which limbs go from the captured motion to the key pose, and back."""
    speed: float
    """Of the captured clips outside contact, 1 as captured."""
    contact_speed: float
    """Fraction of that speed during contact."""
    hold: tuple[int, int]
    """Frames before and after contact in which limbs keep the key pose while the two walk."""

    @property
    def key(self) -> float:
        """The frame of the key pose."""
        return (self.first + self.last) / 2

    @property
    def starts_in_contact(self) -> bool:
        """The first frame is in contact."""
        return self.first == 0

    @property
    def ends_in_contact(self) -> bool:
        """The last frame is in contact."""
        return self.last == self.length - 1

    def contact(self) -> Tensor:
        """[T] bool: contact is held."""
        frames = torch.arange(self.length)
        return (frames >= self.first) & (frames <= self.last)

    def clip_offsets(self, rate: float) -> Tensor:
        """[T] captured frames relative to the key pose, at the speed of the window times `rate`."""
        frames = torch.arange(self.length, dtype=torch.float32)
        outside = torch.maximum(self.first - frames, frames - self.last).clamp(min=0) / (_SLOW_DOWN_SECONDS * FPS)
        pace = self.speed * rate * (self.contact_speed + (1 - self.contact_speed) * smooth_step(outside))
        passed = torch.cat([pace.new_zeros(1), ((pace[1:] + pace[:-1]) / 2).cumsum(0)])
        middle = int(self.key)
        return passed - (passed[middle] + (self.key - middle) * pace[middle])

    def key_pose_weight(self) -> Tensor:
        """[T] weight of the key pose: 0 in captured motion, 1 during contact and the hold around it."""
        before, after = self.first - self.hold[0], self.last + self.hold[1]
        return self._plateau((before - self.transition, before), (after, after + self.transition))

    def hand_weight(self) -> Tensor:
        """[T] weight of the hand shape of the key pose: 1 in contact, 0 with relaxed hands."""
        return self._plateau((self.first - self.closing, self.first), (self.last, self.last + self.closing))

    def leave_weight(self) -> Tensor:
        """[T] weight of the clip that leaves the key pose: 0 before contact, 1 after it."""
        frames = torch.arange(self.length, dtype=torch.float32)
        return smooth_step((frames - self.first) / max(self.last - self.first, 1))

    def _plateau(self, start: tuple[float, float], end: tuple[float, float]) -> Tensor:
        """[T] a smooth step up over the frames of `start` and down over those of `end`."""
        frames = torch.arange(self.length, dtype=torch.float32)
        up = smooth_step((frames - start[0]) / (start[1] - start[0]))
        down = smooth_step((end[1] - frames) / (end[1] - end[0]))
        return torch.minimum(
            up if not self.starts_in_contact else torch.ones_like(up),
            down if not self.ends_in_contact else torch.ones_like(down),
        )


def smooth_step(x: Tensor) -> Tensor:
    """From 0 to 1 [...] over x [...] in 0..1, with zero velocity and acceleration at both ends."""
    x = x.clamp(0, 1)
    return x * x * x * (x * (6 * x - 15) + 10)


def interpolate(known: Tensor, values: Tensor, length: int) -> Tensor:
    """Values [length, ...] of every frame, without overshoot, from values [F, ...] at the known frames [F]."""
    spline = PchipInterpolator(known.numpy(), values.double().numpy(), axis=0)
    return torch.as_tensor(spline(torch.arange(length).numpy()), dtype=values.dtype)
