"""Frames in which a person is not detected: they are masked, and generated from the other person (CloseInt)."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.interaction_prior.state import PairState, PairUncertainty, pack, unpack

MAX_SHORT_GAP = 4  # Frames without detection that are interpolated; in longer gaps a person is generated.
ROTATION_RATE, PELVIS_RATE = 0.5, 0.1  # Radians, meters per second without detections, added to each std.
MAX_ROTATION_STD, MAX_PELVIS_STD = 0.5, 0.5  # However long a person is not detected.


def hidden_frames(detected: Tensor, present: Tensor) -> Tensor:
    """[*B, T, P] bool: frames of present people within more than MAX_SHORT_GAP frames without detection.

    detected [*B, T, P] bool, present [*B, T, P] bool.
    """
    missing = (present & ~detected).float().transpose(-1, -2)  # [*B, P, T]
    run = MAX_SHORT_GAP + 1
    if missing.shape[-1] < run:
        return torch.zeros_like(detected)
    whole = -F.max_pool1d(-missing.reshape(1, -1, missing.shape[-1]), run, stride=1)  # 1 where such a run starts.
    hidden = F.max_pool1d(F.pad(whole, (MAX_SHORT_GAP, MAX_SHORT_GAP)), run, stride=1)
    return (hidden > 0).reshape(missing.shape).transpose(-1, -2)


def widen_std(std: PairUncertainty, hidden: Tensor, times: Tensor) -> PairUncertainty:
    """The std of frames hidden [B, T, P] bool from the known ones around, growing with the distance in time.

    times [B, T] seconds.
    """
    before, after, since, until = _known_around(hidden, times)
    seconds = torch.minimum(since.abs(), until.abs())[..., None]

    def widened(values: Tensor, rate: float, largest: float) -> Tensor:
        known = _between(values, before, after, _fraction(since, until))
        wide = (known + rate * seconds).clamp(max=largest)
        return torch.where(hidden[..., None], wide, values)

    return replace(
        std,
        rotation_std=widened(std.rotation_std, ROTATION_RATE, MAX_ROTATION_STD),
        pelvis_std=widened(std.pelvis_std, PELVIS_RATE, MAX_PELVIS_STD),
    )


def interpolate_hidden(state: PairState, hidden: Tensor, times: Tensor) -> PairState:
    """The state with frames hidden [B, T, P] bool on a straight line between the known ones; times [B, T] seconds."""
    before, after, since, until = _known_around(hidden, times)
    packed = pack(state)
    between = _between(packed, before, after, _fraction(since, until))
    return unpack(torch.where(hidden[..., None], between, packed))


def _between(values: Tensor, before: Tensor, after: Tensor, fraction: Tensor) -> Tensor:
    """values [B, T, P, C] between those of two frames [B, T, P]; fraction [B, T, P]."""
    return torch.lerp(_at(values, before), _at(values, after), fraction[..., None])


def _fraction(since: Tensor, until: Tensor) -> Tensor:
    return since / (since + until).clamp(min=1e-6)


def _known_around(hidden: Tensor, times: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The nearest known frames [B, T, P] before and after each, the same one twice at the ends, and seconds to each."""
    count = hidden.shape[1]
    frames = torch.arange(count, device=hidden.device)[:, None].expand_as(hidden)
    last = torch.where(hidden, -1, frames).cummax(1).values
    following = torch.where(hidden, count, frames).flip(1).cummin(1).values.flip(1)
    before = torch.where(last < 0, following, last).clamp(max=count - 1)
    after = torch.where(following < count, following, last).clamp(min=0)
    own = times[..., None].expand(hidden.shape)
    return before, after, own - own.gather(1, before), own.gather(1, after) - own


def _at(values: Tensor, frames: Tensor) -> Tensor:
    """values [B, T, P, C] at frames [B, T, P]."""
    return values.gather(1, frames[..., None].expand(*frames.shape, values.shape[-1]))
