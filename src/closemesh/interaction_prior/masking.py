"""Frames in which a person is not detected: they are masked, and generated from the other person (CloseInt)."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.interaction_prior.state import PairState, PairUncertainty, pack, unpack

MAX_SHORT_GAP = 4  # Frames without detection that are interpolated; in longer gaps a person is generated.
ROTATION_RATE, PELVIS_RATE = 0.5, 0.1  # Radians, meters per second without detections, added to each std.
MAX_ROTATION_STD, MAX_PELVIS_STD = 0.5, 0.5  # However long a person is not detected.


def hidden_frames(tracks: KeypointTracks) -> Tensor:
    """[*B, T, P] bool: frames of present people within more than MAX_SHORT_GAP frames without detection."""
    missing = (tracks.present & ~tracks.detected).float().movedim(tracks.time_axis, -1)  # [*B, P, T]
    run = MAX_SHORT_GAP + 1
    if missing.shape[-1] < run:
        return torch.zeros_like(tracks.detected)
    flat = missing.reshape(1, -1, missing.shape[-1])
    whole = -F.max_pool1d(-flat, run, stride=1)  # 1 where a run of missing frames starts.
    hidden = F.max_pool1d(F.pad(whole, (MAX_SHORT_GAP, MAX_SHORT_GAP)), run, stride=1)
    return (hidden > 0).reshape(missing.shape).movedim(-1, tracks.time_axis)


def hide_frames(
    state: PairState, std: PairUncertainty, hidden: Tensor, times: Tensor
) -> tuple[PairState, PairUncertainty]:
    """State and std that know nothing of the frames hidden [B, T, P] bool; times [B, T] seconds.

    They are interpolated between the nearest known frames, with a std that grows with the distance in time.
    """
    before, after = _known_around(hidden)
    frame_times = times[..., None].expand(hidden.shape)
    since = frame_times - frame_times.gather(1, before)
    until = frame_times.gather(1, after) - frame_times
    fraction = since / (since + until).clamp(min=1e-6)
    seconds = torch.minimum(since.abs(), until.abs())[..., None]

    def between(values: Tensor) -> Tensor:
        mean = torch.lerp(_at(values, before), _at(values, after), fraction[..., None])
        return torch.where(hidden[..., None], mean, values)

    rotation, pelvis = between(std.rotation_std), between(std.pelvis_std)
    wide = replace(
        std,
        rotation_std=(rotation + ROTATION_RATE * seconds).clamp(max=MAX_ROTATION_STD).maximum(rotation),
        pelvis_std=(pelvis + PELVIS_RATE * seconds).clamp(max=MAX_PELVIS_STD).maximum(pelvis),
    )
    return unpack(between(pack(state))), wide


def _known_around(hidden: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest known frames [B, T, P] before and after each; the same one twice at the ends."""
    count = hidden.shape[1]
    frames = torch.arange(count, device=hidden.device)[:, None].expand_as(hidden)
    last = torch.where(hidden, -1, frames).cummax(1).values
    following = torch.where(hidden, count, frames).flip(1).cummin(1).values.flip(1)
    before = torch.where(last < 0, following, last).clamp(max=count - 1)
    after = torch.where(following < count, following, last).clamp(min=0)
    return before, after


def _at(values: Tensor, frames: Tensor) -> Tensor:
    """values [B, T, P, C] at frames [B, T, P]."""
    return values.gather(1, frames[..., None].expand(*frames.shape, values.shape[-1]))
