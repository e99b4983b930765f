"""Lessons for the prior: windows of first motions with their truth, in random order, parts of them hidden."""

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

UNKNOWN_TURN, UNKNOWN_MOVE, UNKNOWN_BETA = 0.5, 0.5, 1.0  # Spread of what is hidden: radians, metres.
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
        names = ("points", "inverse_sigmas", "hidden", "touching")
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
        times=times,
        focal=times.new_full((len(which),), FOCAL),
        centre=times.new_zeros(len(which), 2),
        hidden=torch.zeros(*frames.shape, 2, dtype=torch.bool, device=times.device),
        alone=torch.zeros(len(which), dtype=torch.bool, device=times.device),
        touching=starts.touching[which[:, None], frames],
    )
    return Lesson(windows, seen_from(state("true_"), view), starts.known[which])


def hide(lesson: Lesson, hidden: Tensor) -> Lesson:
    """The lesson with nothing known of the `hidden` [B, T, 2] frames of a person.

    Frames between known ones take the pose of the last known one (CloseInt's masked frames); a person who is hidden
    all the time stands at rest where the partner is, facing the camera, and is to be made up (a reaction).
    """
    mean, spread = lesson.windows.mean, lesson.windows.spread
    frames = torch.arange(hidden.shape[1], device=hidden.device)[:, None].expand_as(hidden)
    last = torch.where(hidden, -1, frames).cummax(1).values
    first = torch.where(hidden, hidden.shape[1], frames).amin(1, keepdim=True)
    source = torch.where(last >= 0, last, first).clamp(max=hidden.shape[1] - 1)
    gone = hidden.all(1, keepdim=True).expand_as(hidden)
    facing = torch.eye(3, device=hidden.device).repeat(mean.rotations.shape[3], 1, 1)
    facing[0] = torch.diag(torch.tensor([1.0, -1.0, -1.0], device=hidden.device))
    held = PairState(
        rotations=_where(gone, facing.expand_as(mean.rotations), _held(mean.rotations, source)),
        betas=_where(gone, torch.zeros_like(mean.betas), mean.betas),
        pelvis=_where(gone, mean.pelvis.flip(2), _held(mean.pelvis, source)),
    )
    wide = PairSpread(
        rotations=_where(hidden, torch.full_like(spread.rotations, UNKNOWN_TURN), spread.rotations),
        betas=_where(gone, torch.full_like(spread.betas, UNKNOWN_BETA), spread.betas),
        pelvis=_where(hidden, torch.full_like(spread.pelvis, UNKNOWN_MOVE), spread.pelvis),
    )
    seen = lesson.windows.inverse_sigmas * ~hidden[..., None]
    windows = replace(lesson.windows, mean=held, spread=wide, hidden=hidden, inverse_sigmas=seen)
    return replace(lesson, windows=windows)


def tell_touching(lesson: Lesson, share: float, generator: torch.Generator) -> Lesson:
    """In a `share` of the windows it is said which parts touch, all of them or only some; in the others it is not."""
    touching = lesson.windows.touching
    assert touching is not None

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=touching.device)

    count, _, parts, _ = touching.shape
    said = (rand(count, 1, 1, 1) < share) & (rand(count, 1, parts, parts) < 0.3 + rand(count, 1, 1, 1))
    return replace(lesson, windows=replace(lesson.windows, touching=touching & said))


def random_hidden(
    count: int, frames_share: float, person_share: float, generator: torch.Generator, device: torch.device
) -> Tensor:
    """[B, WINDOW, 2] bool: in some windows random frames of both people, in some one of the two."""

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    kind, amount = rand(count, 1, 1), rand(count, 1, 1)
    frames = (kind < frames_share) & (rand(count, WINDOW, 2) < 0.5 * amount)
    person = (kind >= frames_share) & (kind < frames_share + person_share)
    who = (rand(count, 1, 1) < 0.5) == torch.tensor([True, False], device=device)
    return frames | (person & who).expand(-1, WINDOW, -1)


def _held(tensor: Tensor, source: Tensor) -> Tensor:
    """tensor [B, T, 2, ...] at the frames `source` [B, T, 2]."""
    index = source.reshape(*source.shape, *([1] * (tensor.ndim - 3))).expand(*source.shape, *tensor.shape[3:])
    return tensor.gather(1, index)


def _where(chosen: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(chosen.reshape(*chosen.shape, *([1] * (a.ndim - chosen.ndim))), a, b)


def _either(swap: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(swap.reshape(-1, *([1] * (a.ndim - 1))), a, b)


def _either_record(swap: Tensor, a: _Record, b: _Record) -> _Record:
    return type(a)(**{f.name: _either(swap, getattr(a, f.name), getattr(b, f.name)) for f in fields(a)})
