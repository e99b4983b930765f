"""What a file tells, choice of frames.

What a file tells about its frames, before any is chosen.

Which frames are processed: those nearest to a regular clock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closemesh.config.schema import ClipConfig

Image = NDArray[np.uint8]

_FULL_FRAME_WIDTH_MM = 36.0


@dataclass(frozen=True)
class SourceInfo:
    """Frames of a video file or of a folder of images."""

    times: NDArray[np.float64]
    """[N] presentation times of the frames, seconds from the first, increasing."""
    size: tuple[int, int]
    """Width and height in pixels, upright and with square pixels."""
    focal_px: float | None
    """From the metadata, for this size."""


def focal_from_metadata(metadata: dict[str, str], key: str, size: tuple[int, int]) -> float | None:
    """Focal length in pixels from a 35 mm equivalent whose name ends with `key`; None when it is not there or absurd.

    A full frame is 36 mm wide, and the longer side of the image is its width.
    """
    for name, value in metadata.items():
        if name.endswith(key):
            try:
                millimetres = float(value)
            except ValueError:
                continue
            if 5 < millimetres < 1000:
                return millimetres / _FULL_FRAME_WIDTH_MM * max(size)
    return None


_RATE_SLACK = 1.05  # A clip at most this much faster than asked for keeps all its frames.
_TIME_SLACK = 1e-6  # Seconds; time stamps are rounded.


def sample_frames(times: NDArray[np.floating], config: ClipConfig) -> NDArray[np.int64]:
    """Indices of the frames nearest to a clock of `config.fps` ticks a second in [start, end), each frame once.

    times: [N] seconds, increasing. A slower clip keeps its own frames.
    """
    end = np.inf if config.end is None else config.end
    inside = np.flatnonzero((times >= config.start - _TIME_SLACK) & (times < end - _TIME_SLACK))
    seen = times[inside]
    rate = mean_rate(seen, config.fps)
    if rate <= config.fps * _RATE_SLACK:
        return inside.astype(np.int64)
    clock = np.arange(seen[0], seen[-1] + 0.5 / rate, 1 / config.fps)
    after = np.clip(np.searchsorted(seen, clock), 1, len(seen) - 1)
    nearest = np.where(clock - seen[after - 1] <= seen[after] - clock, after - 1, after)
    return inside[np.unique(nearest)].astype(np.int64)


def mean_rate(times: NDArray[np.floating], fallback: float) -> float:
    """Frames a second over times [N]; `fallback` for a single frame."""
    return (len(times) - 1) / float(times[-1] - times[0]) if len(times) > 1 else fallback
