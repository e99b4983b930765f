"""What the metadata of a clip contain, and the choice of frames nearest to a regular clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closemesh.config.schema import ClipConfig

Image = NDArray[np.uint8]
"""RGB [H, W, 3]."""

_RATE_TOLERANCE = 1.05  # A clip at most this much faster than the processing rate keeps all its frames.
_TIME_TOLERANCE = 1e-6  # Seconds: time stamps are rounded.


@dataclass(frozen=True)
class ImageFocal:
    """A focal length for an image of known size."""

    pixels: float
    log_std: float
    """Standard deviation of its logarithm."""


@dataclass(frozen=True)
class SourceInfo:
    """The frames of a video file or of a folder of images."""

    times: NDArray[np.float64]
    """[N] presentation times of the frames, seconds from the first, increasing."""
    size: tuple[int, int]
    """Width and height in pixels, upright and with square pixels."""
    focal: ImageFocal | None
    """Focal length of the metadata; None when they have none."""


def sample_frames(times: NDArray[np.floating], config: ClipConfig) -> NDArray[np.int64]:
    """Return the indices [M] of the frames nearest to a clock of `config.fps` ticks per second in [start, end).

    times: [N] seconds, increasing. Each frame appears once; a slower clip keeps all its frames.
    """
    end = np.inf if config.end is None else config.end
    inside = np.flatnonzero((times >= config.start - _TIME_TOLERANCE) & (times < end - _TIME_TOLERANCE))
    inside_times = times[inside]
    rate = mean_rate(inside_times, config.fps)
    if rate <= config.fps * _RATE_TOLERANCE:
        return inside.astype(np.int64)
    clock = np.arange(inside_times[0], inside_times[-1] + 0.5 / rate, 1 / config.fps)
    after = np.clip(np.searchsorted(inside_times, clock), 1, len(inside_times) - 1)
    nearest = np.where(clock - inside_times[after - 1] <= inside_times[after] - clock, after - 1, after)
    return inside[np.unique(nearest)].astype(np.int64)


def mean_rate(times: NDArray[np.floating], fallback: float) -> float:
    """Return the frames per second over times [N]; `fallback` for fewer than two frames."""
    return (len(times) - 1) / float(times[-1] - times[0]) if len(times) > 1 else fallback
