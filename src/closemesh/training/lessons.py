"""Lessons for the prior: windows of first motions with their truth, in random order."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from torch import Tensor

from closemesh.geometry.rotations import rotation_6d_to_matrix
from closemesh.proxemics.pair_clip import seen_from
from closemesh.proxemics.people import SMALLEST_BETA, SMALLEST_MOVE, SMALLEST_TURN
from closemesh.proxemics.state import PairSpread, PairState, pair_view
from closemesh.proxemics.windows import WINDOW, PairWindows
from closemesh.training.starts import FOCAL, Starts

_Record = TypeVar("_Record", PairState, PairSpread)


@dataclass(frozen=True)
class Lesson:
    """Windows and their truth."""

    windows: PairWindows
    truth: PairState
    known: Tensor  # [B, 2, 22] bool

    def chosen(self, swap: Tensor) -> Lesson:
        """The two people exchanged in the windows where `swap` [B] says so."""
        windows, other = self.windows, self.windows.swapped()
        names = ("points", "inverse_sigmas", "limbs", "hidden", "touching")
        people = {name: _either(swap, getattr(other, name), getattr(windows, name)) for name in names}
        mean, spread = (
            _either_record(swap, other.mean, windows.mean),
            _either_record(swap, other.spread, windows.spread),
        )
        return Lesson(
            replace(windows, mean=mean, spread=spread, **people),
            _either_record(swap, self.truth.swapped(), self.truth),
            _either(swap, self.known.flip(1), self.known),
        )


def draw_lesson(starts: Starts, count: int, generator: torch.Generator) -> Lesson:
    """Random windows of WINDOW frames; the two people in random order."""
    device = starts.times.device
    which = torch.randint(len(starts), (count,), generator=generator, device=device)
    first = torch.randint(starts.times.shape[1] - WINDOW + 1, (count,), generator=generator, device=device)
    lesson = lesson_of(starts, which, first[:, None] + torch.arange(WINDOW, device=device))
    return lesson.chosen(torch.rand(count, generator=generator, device=device) < 0.5)


def lesson_of(starts: Starts, which: Tensor, frames: Tensor) -> Lesson:
    """Windows `which` [B] of the starts at `frames` [B, WINDOW]."""

    def over_time(tensor: Tensor) -> Tensor:
        return tensor[which[:, None], frames].float()

    def each_frame(tensor: Tensor) -> Tensor:
        return tensor[which].float()[:, None].expand(-1, frames.shape[1], -1, -1)

    def state(prefix: str) -> PairState:
        rotations, betas, pelvis = (getattr(starts, prefix + name) for name in ("rotations", "betas", "pelvis"))
        return PairState(rotation_6d_to_matrix(over_time(rotations)), each_frame(betas), over_time(pelvis))

    cam = state("")
    view, times = pair_view(cam.pelvis), over_time(starts.times)
    windows = PairWindows(
        mean=seen_from(cam, view),
        spread=PairSpread(
            over_time(starts.rotation_spread).clamp(min=SMALLEST_TURN),
            each_frame(starts.betas_spread).clamp(min=SMALLEST_BETA),
            over_time(starts.pelvis_spread).clamp(min=SMALLEST_MOVE),
        ),
        view=view,
        points=over_time(starts.points),
        inverse_sigmas=over_time(starts.inverse_sigmas),
        limbs=over_time(starts.limbs),
        times=times,
        focal=times.new_full((len(which),), FOCAL),
        centre=times.new_zeros(len(which), 2),
        hidden=torch.zeros(*frames.shape, 2, dtype=torch.bool, device=times.device),
        alone=torch.zeros(len(which), dtype=torch.bool, device=times.device),
        touching=starts.touching[which[:, None], frames],
    )
    return Lesson(windows, seen_from(state("true_"), view), starts.known[which])


def _either(swap: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(swap.reshape(-1, *([1] * (a.ndim - 1))), a, b)


def _either_record(swap: Tensor, a: _Record, b: _Record) -> _Record:
    return type(a)(**{f.name: _either(swap, getattr(a, f.name), getattr(b, f.name)) for f in fields(a)})
