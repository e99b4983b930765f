"""Everything over a time axis: Viterbi, windows with crossfade, runs of frames, interpolation, low-pass, jerk."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from closemesh.core.arrays import Bools, Floats
from closemesh.core.tensor_dataclass import TensorDataclass

Record = TypeVar("Record", bound=TensorDataclass)

_MAX_RATE_ERROR = 0.01  # Frames per second.


def viterbi(unary: Floats, pairwise: Callable[[int], Floats], prefer_stay: bool = False) -> NDArray[np.int64]:
    """The state [T] of each frame on the path of least cost (Viterbi 1967).

    unary [T, S]: cost of each state in each frame, T at least 1. pairwise(t) [S, S]: cost [to, from] of the step from
    frame t - 1 to frame t. Of equally good predecessors the first is taken; with `prefer_stay`, the same state.
    """
    frames, states = unary.shape
    cost = unary[0]
    predecessors = np.zeros((frames, states), np.int64)
    for t in range(1, frames):
        candidates = cost[None, :] + pairwise(t)  # [to, from]
        least = candidates.min(1)
        predecessors[t] = candidates.argmin(1)
        if prefer_stay:
            predecessors[t] = np.where(candidates.diagonal() == least, np.arange(states), predecessors[t])
        cost = least + unary[t]
    path = np.empty(frames, np.int64)
    path[-1] = cost.argmin()
    for t in range(frames - 1, 0, -1):
        path[t - 1] = predecessors[t, path[t]]
    return path


def binary_posterior(log_odds: Floats, step_cost: Floats) -> Floats:
    """Probability [T, ...] of the second of two states in each frame, given all frames (forward-backward).

    log_odds [T, ...]: of the second state, by the frame alone. step_cost [T - 1, ..., 2, 2]: negative logarithm of the
    probability of each step, [to, from], not normalized.
    """
    evidence = np.stack([np.zeros_like(log_odds), log_odds], axis=-1)  # [T, ..., 2]
    forward, backward = evidence.copy(), np.zeros_like(evidence)
    for t in range(1, len(evidence)):
        forward[t] += np.logaddexp.reduce(forward[t - 1][..., None, :] - step_cost[t - 1], axis=-1)
        forward[t] -= forward[t].max(-1, keepdims=True)
    for t in range(len(evidence) - 2, -1, -1):
        later = (backward[t + 1] + evidence[t + 1])[..., :, None] - step_cost[t]
        backward[t] = np.logaddexp.reduce(later, axis=-2)
        backward[t] -= backward[t].max(-1, keepdims=True)
    total = forward + backward
    return np.exp(total[..., 1] - np.logaddexp.reduce(total, axis=-1))


def find_runs(active: Bools, max_step: float = 1, times: Floats | None = None) -> list[slice]:
    """The runs of active frames, in order; each slice begins and ends with an active frame.

    active [T]. Two active frames belong to one run when they follow each other within `max_step` frames, or within
    `max_step` in the unit of `times` [T].
    """
    frames = np.flatnonzero(active)
    if len(frames) == 0:
        return []
    steps = np.diff(frames if times is None else times[frames])
    runs = np.split(frames, np.flatnonzero(steps > max_step) + 1)
    return [slice(int(run[0]), int(run[-1]) + 1) for run in runs]


def nominal_rate(fps: float) -> float:
    """The whole number of frames per second within 0.01 of a measured mean rate, else the mean: 29.999 is 30."""
    whole = float(round(fps))
    return whole if whole > 0 and abs(fps - whole) <= _MAX_RATE_ERROR else float(fps)


def jerk(points: Floats, fps: float) -> Floats:
    """Magnitude of the third derivative [T - 3, ...] in m/s^3 of points [T, ..., 3] in meters; empty below 4 frames."""
    return np.linalg.norm(np.diff(points.astype(np.float64), n=3, axis=0), axis=-1) * fps**3


def low_pass_weights(times: Tensor, cutoff: float) -> Tensor:
    """[T, T] weights of each frame in the smoothed motion: the third derivative is penalized (Whittaker 1923).

    Motion of `cutoff` Hz keeps half of its amplitude, slower motion more; a constant acceleration is unchanged.
    times [T] seconds; below 4 frames nothing is smoothed.
    """
    seconds = times.double()
    derivative = torch.eye(len(seconds), dtype=torch.float64, device=times.device)
    if len(seconds) < 4:
        return derivative.to(times.dtype)
    for order in (1, 2, 3):
        span = (seconds[order:] - seconds[:-order])[:, None]
        derivative = order * derivative.diff(dim=0) / span
    step = (seconds[-1] - seconds[0]) / (len(seconds) - 1)
    angle = (2 * torch.pi * cutoff * step).clamp(max=torch.pi)
    penalty = (step.square() / (2 - 2 * angle.cos())) ** 3
    system = torch.eye(len(seconds), dtype=torch.float64, device=times.device) + penalty * derivative.T @ derivative
    return torch.linalg.inv(system).to(times.dtype)


def split_windows(length: int, window: int, overlap: int) -> list[slice]:
    """Slices that cover 0..length, each at most `window` long and sharing `overlap` frames with the one before."""
    if length <= window:
        return [slice(0, length)]
    step = window - overlap
    starts = list(range(0, length - overlap, step))
    return [slice(start, min(start + window, length)) for start in starts]


def crossfade_window(clip: Record, window: Record, frames: slice, overlap: int) -> Record:
    """`clip` with `window` inserted at `frames`; it fades in over the first `overlap` frames unless it begins the clip.

    Every tensor is blended linearly, rotations too: two overlapping windows differ only a little.
    """
    length = frames.stop - frames.start
    fade = torch.ones(length)
    if frames.start > 0:
        fade[:overlap] = torch.linspace(0, 1, overlap + 2)[1:-1][:length]

    def blend(old: Tensor, new: Tensor) -> Tensor:
        weight = fade.to(new.device).reshape(-1, *([1] * (new.ndim - 1)))
        merged = old.clone()
        merged[frames] = weight * new + (1 - weight) * old[frames]
        return merged

    return clip.zip_frames(window, blend)


def interpolate_missing(record: Record, detected: Tensor) -> Record:
    """Frames without a detection interpolate linearly between the detections around them; the ends are held.

    detected [T, P] bool. People without any detection stay unchanged.
    """
    return record.map_frames(
        lambda tensor: torch.stack(
            [_interpolate(tensor[:, person], detected[:, person]) for person in range(detected.shape[1])], dim=1
        )
    )


def _interpolate(values: Tensor, valid: Tensor) -> Tensor:
    """values [T, ...] with the frames that are not valid [T] interpolated."""
    anchors = valid.nonzero()[:, 0]
    if len(anchors) == 0:
        return values
    frames = torch.arange(len(values), device=values.device)
    after = torch.searchsorted(anchors, frames).clamp(max=len(anchors) - 1)
    before = (torch.searchsorted(anchors, frames, right=True) - 1).clamp(min=0)
    start, end = anchors[before], anchors[after]
    length = (end - start).clamp(min=1)
    fraction = ((frames - start).clamp(min=0) / length).clamp(0, 1).reshape(-1, *([1] * (values.ndim - 1)))
    return values[start] * (1 - fraction) + values[end] * fraction
