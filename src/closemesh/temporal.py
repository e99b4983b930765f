"""Everything over a time axis: Viterbi, windows with crossfade, runs of frames, interpolation of gaps.

Long clips in overlapping windows, so that memory does not grow with the length.

Which start won in each frame, chosen over time so that a person does not flip back and forth.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from closemesh.core.arrays import Floats
from closemesh.core.tensor_dataclass import TensorDataclass

Record = TypeVar("Record", bound=TensorDataclass)


def split_windows(length: int, window: int, overlap: int) -> list[slice]:
    """Slices that cover 0..length, each at most `window` long and sharing `overlap` frames with the one before."""
    if length <= window:
        return [slice(0, length)]
    step = window - overlap
    starts = list(range(0, length - overlap, step))
    return [slice(start, min(start + window, length)) for start in starts]


def crossfade_window(clip: Record, window: Record, frames: slice, overlap: int) -> Record:
    """`clip` with `window` put in at `frames`; it fades in over the first `overlap` frames unless it begins the clip.

    Rotations are faded number by number, which is right for the small differences between two windows.
    """
    length = frames.stop - frames.start
    fade = torch.ones(length)
    if frames.start > 0:
        fade[:overlap] = torch.linspace(0, 1, overlap + 2)[1:-1][:length]

    def blend(old: Tensor, new: Tensor) -> Tensor:
        share = fade.to(new.device).reshape(-1, *([1] * (new.ndim - 1)))
        merged = old.clone()
        merged[frames] = share * new + (1 - share) * old[frames]
        return merged

    return clip.zip_frames(window, blend)


def interpolate_missing(record: Record, seen: Tensor) -> Record:
    """Frames in which a person is not seen take values between the sightings around them; ends hold.

    seen [T, P] bool. People never seen stay as they are.
    """
    return record.map_frames(
        lambda tensor: torch.stack(
            [_fill(tensor[:, person], seen[:, person]) for person in range(seen.shape[1])], dim=1
        )
    )


def _fill(values: Tensor, seen: Tensor) -> Tensor:
    """values [T, ...] with the frames that are not seen [T] interpolated."""
    known = seen.nonzero()[:, 0]
    if len(known) == 0:
        return values
    frames = torch.arange(len(values), device=values.device)
    after = torch.searchsorted(known, frames).clamp(max=len(known) - 1)
    before = (torch.searchsorted(known, frames, right=True) - 1).clamp(min=0)
    start, end = known[before], known[after]
    span = (end - start).clamp(min=1)
    share = ((frames - start).clamp(min=0) / span).clamp(0, 1).reshape(-1, *([1] * (values.ndim - 1)))
    return values[start] * (1 - share) + values[end] * share


JUMP_SIGMA = 0.12  # Metres that a joint may move, against the pelvis, from one frame to the next.
LARGEST_JUMP = 60.0  # Energy; a true cut costs no more than this.


def viterbi(energies: Floats, joints: Floats) -> np.ndarray:
    """The start [T] of each frame whose summed energy and jumps are least (Viterbi).

    energies [S, T] of each start in each frame; joints [S, T, J, 3] in metres against the pelvis.
    """
    starts, frames = energies.shape
    cost = energies[:, 0]
    came_from = np.zeros((frames, starts), dtype=int)
    for t in range(1, frames):
        jump = np.linalg.norm(joints[:, None, t] - joints[None, :, t - 1], axis=-1)  # [to, from, J]
        jumps = np.minimum((jump / JUMP_SIGMA) ** 2, LARGEST_JUMP).mean(-1)
        reached = cost[None, :] + jumps
        came_from[t] = reached.argmin(1)
        cost = reached.min(1) + energies[:, t]
    path = np.empty(frames, dtype=int)
    path[-1] = cost.argmin()
    for t in range(frames - 1, 0, -1):
        path[t - 1] = came_from[t, path[t]]
    return path
