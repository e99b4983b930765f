"""Which frames are processed: those nearest to a regular clock."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from closemesh.config import ClipConfig

_RATE_SLACK = 1.05  # A clip at most this much faster than asked for keeps all its frames.
_TIME_SLACK = 1e-6  # Seconds; time stamps are rounded.


def choose_frames(times: NDArray[np.floating], config: ClipConfig) -> NDArray[np.int64]:
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
