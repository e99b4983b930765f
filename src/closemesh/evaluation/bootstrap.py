"""How sure a mean over windows is: intervals and paired differences by resampling whole windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from closemesh.scene import Floats

RESAMPLES = 2000
_TAIL = 2.5  # Percent on either side of a 95 % interval.


@dataclass(frozen=True)
class Interval:
    """A mean over the values of some windows, and where it would lie in 95 % of such sets of windows."""

    mean: float
    low: float | None
    """None for a single window, which tells nothing of others."""
    high: float | None
    n: int
    """Values, not windows: values of one window hang together."""


@dataclass(frozen=True)
class Difference:
    """New minus old over the windows that both have."""

    old: float
    new: float
    low: float | None
    high: float | None
    windows: int

    @property
    def significant(self) -> bool:
        """The 95 % interval of the difference leaves out 0."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def interval(means: Floats, counts: Floats, rng: np.random.Generator) -> Interval:
    """Of the values of windows with `means` [W] over `counts` [W] values each; windows are the clusters resampled."""
    means, counts = np.asarray(means, float), np.asarray(counts, float)
    low, high = _bounds(_pooled(means, counts, _draws(len(means), rng)))
    return Interval(_pool(means, counts), low, high, int(counts.sum()))


def paired_difference(old: tuple[Floats, Floats], new: tuple[Floats, Floats], rng: np.random.Generator) -> Difference:
    """Of two runs over the same windows: (means [W], counts [W]) of either. Both are resampled alike."""
    old_means, old_counts, new_means, new_counts = (np.asarray(a, float) for a in (*old, *new))
    draws = _draws(len(old_means), rng)
    low, high = _bounds(_pooled(new_means, new_counts, draws) - _pooled(old_means, old_counts, draws))
    return Difference(_pool(old_means, old_counts), _pool(new_means, new_counts), low, high, len(old_means))


def _draws(windows: int, rng: np.random.Generator) -> Floats:
    """[RESAMPLES, W] how often each window is drawn; nothing for a single window."""
    size = RESAMPLES if windows > 1 else 0
    return rng.multinomial(windows, np.full(windows, 1 / windows), size=size).astype(float)


def _pool(means: Floats, counts: Floats) -> float:
    return float((means * counts).sum() / counts.sum())


def _pooled(means: Floats, counts: Floats, draws: Floats) -> Floats:
    """[RESAMPLES] mean over all values of the windows that were drawn."""
    return draws @ (means * counts) / (draws @ counts)


def _bounds(values: Floats) -> tuple[float | None, float | None]:
    if len(values) == 0:
        return None, None
    low, high = np.percentile(values, [_TAIL, 100 - _TAIL])
    return float(low), float(high)
