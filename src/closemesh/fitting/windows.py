"""Long clips in overlapping windows, so that memory does not grow with the length."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.body.variables import MotionVariables

_PER_CLIP = ("betas",)


def split_windows(length: int, window: int, overlap: int) -> list[slice]:
    """Slices that cover 0..length, each at most `window` long and sharing `overlap` frames with the one before."""
    if length <= window:
        return [slice(0, length)]
    step = window - overlap
    starts = list(range(0, length - overlap, step))
    return [slice(start, min(start + window, length)) for start in starts]


def blend_window(clip: MotionVariables, window: MotionVariables, frames: slice, overlap: int) -> MotionVariables:
    """`clip` with `window` put in at `frames`; it fades in over the first `overlap` frames unless it begins the clip.

    Rotations are faded number by number, which is right for the small differences between two windows.
    """
    length = frames.stop - frames.start
    fade = torch.ones(length, device=window.ray.device)
    if frames.start > 0:
        fade[:overlap] = torch.linspace(0, 1, overlap + 2, device=fade.device)[1:-1][:length]
    changes = {}
    for name, old in clip.tensors().items():
        if name in _PER_CLIP:
            continue
        new = getattr(window, name)
        share = fade.reshape(-1, *([1] * (new.ndim - 1)))
        merged = old.clone()
        merged[frames] = share * new + (1 - share) * old[frames]
        changes[name] = merged
    return clip.with_tensors(**changes)


def fill_unseen(variables: MotionVariables, seen: Tensor) -> MotionVariables:
    """Frames in which a person is not seen take values between the sightings around them; ends hold.

    seen [T, P] bool. People never seen stay as they are.
    """
    changes = {}
    for name, tensor in variables.tensors().items():
        if name not in _PER_CLIP:
            changes[name] = torch.stack(
                [_fill(tensor[:, person], seen[:, person]) for person in range(seen.shape[1])], dim=1
            )
    return variables.with_tensors(**changes)


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


def join(parts: list[MotionVariables]) -> MotionVariables:
    """Consecutive pieces of a clip as one."""
    first = parts[0]
    joined = {name: torch.cat([getattr(p, name) for p in parts]) for name in first.tensors() if name not in _PER_CLIP}
    return first.with_tensors(**joined)
