"""When things happen in a window: how fast the captured clips play, and how offsets fade in and out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FPS = 30.0
_RAMP = 0.5  # Seconds over which a clip slows down before contact, and speeds up after it.


@dataclass(frozen=True)
class Timing:
    """Frames of a window. The touches are held from `first` to `last`; all of it at FPS."""

    length: int
    first: int
    last: int
    closing: int
    """Frames between the pose that is about to touch and contact."""
    reaching: int
    """Frames between the captured pose and the one that is about to touch."""
    speed: float
    """Of the captured clips away from contact, 1 as captured."""
    calm: float
    """Share of that speed which is left while contact lasts."""

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

    def about_to_touch(self) -> tuple[int, int]:
        """The frames in which the two are about to touch and have just let go."""
        return self.first - self.closing, self.last + self.closing

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
        start = self.first - self.closing - self.reaching, self.first - 0.4 * self.closing
        end = self.last + 0.4 * self.closing, self.last + self.closing + self.reaching
        return self._plateau(start, end)

    def apartness(self) -> tuple[Tensor, Tensor]:
        """[T] how much the two are in the pose about to touch, and in the one just let go: 1 in one frame each."""
        frames = torch.arange(self.length, dtype=torch.float32)
        before, after = self.about_to_touch()
        arriving = smooth_step((frames - before) / self.reaching + 1) * smooth_step(
            (self.first - frames) / self.closing
        )
        leaving = smooth_step((after - frames) / self.reaching + 1) * smooth_step((frames - self.last) / self.closing)
        return arriving, leaving

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
