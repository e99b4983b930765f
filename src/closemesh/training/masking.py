"""Masked training: what of a lesson is hidden, what stands in its place, and what is said of it (CloseInt)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from closemesh.proxemics.state import PairSpread, PairState, pack, unpack
from closemesh.proxemics.windows import WINDOW
from closemesh.training.lessons import Lesson

TURN_RATE, MOVE_RATE = 0.5, 0.1  # Radians, metres by which a second without sight widens the spread about each axis.
UNKNOWN_TURN, UNKNOWN_MOVE, UNKNOWN_BETA = 0.5, 0.5, 1.0  # Spread of a person who is never seen: radians, metres.


def hide(lesson: Lesson, hidden: Tensor) -> Lesson:
    """The lesson with nothing known of the `hidden` [B, T, 2] frames of a person.

    Hidden frames lie on the straight way from the last known frame to the next, less sure the farther from both; a
    person who is hidden all the time stands at rest where the partner is, facing the camera, and is to be made up (a
    reaction).
    """
    windows = lesson.windows
    gone = hidden.all(1, keepdim=True).expand_as(hidden)
    before, after = _known_around(hidden)
    share = (_frames(hidden) - before) / (after - before).clamp(min=1)
    told = pack(windows.mean)
    between = torch.lerp(_at(told, before), _at(told, after), share[..., None])
    mean = unpack(torch.where(gone[..., None], pack(_unknown(windows.mean)), between))
    times = windows.times[..., None].expand(hidden.shape)
    away = torch.minimum((times - times.gather(1, before)).abs(), (times - times.gather(1, after)).abs())
    unseen = replace(
        windows,
        mean=mean,
        spread=_widened(windows.spread, away, gone),
        hidden=hidden,
        inverse_sigmas=windows.inverse_sigmas * ~hidden[..., None],
        limbs=windows.limbs * ~hidden[..., None, None],
    )
    return replace(lesson, windows=unseen)


def random_hidden(
    count: int, frames_share: float, person_share: float, generator: torch.Generator, device: torch.device
) -> Tensor:
    """[B, WINDOW, 2] bool: in some windows frames of both people, one by one or in a row; in some one of the two."""

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    kind, amount = rand(count, 1, 1), rand(count, 1, 1)
    frame = torch.arange(WINDOW, device=device)[:, None]
    start, length = (WINDOW * rand(count, 1, 2)).floor(), (WINDOW * rand(count, 1, 2) * 0.7).floor()
    row = (frame >= start) & (frame < start + length)
    scattered = rand(count, WINDOW, 2) < 0.5 * amount
    frames = (kind < frames_share) & torch.where(kind < frames_share / 2, row, scattered)
    person = (kind >= frames_share) & (kind < frames_share + person_share)
    who = (rand(count, 1, 1) < 0.5) == torch.tensor([True, False], device=device)
    return frames | (person & who).expand(-1, WINDOW, -1)


def tell_touching(lesson: Lesson, share: float, generator: torch.Generator) -> Lesson:
    """In a `share` of the windows it is said which parts touch, all of them or only some; in the others it is not."""
    touching = lesson.windows.touching
    assert touching is not None

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=touching.device)

    count, _, parts, _ = touching.shape
    said = (rand(count, 1, 1, 1) < share) & (rand(count, 1, parts, parts) < 0.3 + rand(count, 1, 1, 1))
    return replace(lesson, windows=replace(lesson.windows, touching=touching & said))


def _known_around(hidden: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest known frames [B, T, 2] before and after each; the only one twice where there is none on one side."""
    frames, count = _frames(hidden), hidden.shape[1]
    last = torch.where(hidden, -1, frames).cummax(1).values
    following = torch.where(hidden, count, frames).flip(1).cummin(1).values.flip(1)
    before = torch.where(last < 0, following, last).clamp(max=count - 1)
    after = torch.where(following < count, following, last).clamp(min=0)
    return before, after


def _unknown(mean: PairState) -> PairState:
    """Two people at rest, each where the other one is, facing the camera."""
    facing = torch.eye(3, device=mean.pelvis.device).repeat(mean.rotations.shape[3], 1, 1)
    facing[0] = torch.diag(torch.tensor([1.0, -1.0, -1.0], device=mean.pelvis.device))
    return PairState(facing.expand_as(mean.rotations), torch.zeros_like(mean.betas), mean.pelvis.flip(2))


def _widened(spread: PairSpread, away: Tensor, gone: Tensor) -> PairSpread:
    """The spread `away` [B, T, 2] seconds from the nearest sight."""
    away, gone = away[..., None], gone[..., None]
    turns = (spread.rotations + TURN_RATE * away).clamp(max=UNKNOWN_TURN)
    moves = (spread.pelvis + MOVE_RATE * away).clamp(max=UNKNOWN_MOVE)
    return PairSpread(
        rotations=torch.where(gone, UNKNOWN_TURN, torch.where(away > 0, turns, spread.rotations)),
        betas=torch.where(gone, UNKNOWN_BETA, spread.betas),
        pelvis=torch.where(gone, UNKNOWN_MOVE, torch.where(away > 0, moves, spread.pelvis)),
    )


def _frames(hidden: Tensor) -> Tensor:
    """The number of each frame, [B, T, 2]."""
    return torch.arange(hidden.shape[1], device=hidden.device)[:, None].expand_as(hidden)


def _at(values: Tensor, frames: Tensor) -> Tensor:
    """values [B, T, 2, C] at frames [B, T, 2]."""
    return values.gather(1, frames[..., None].expand(*frames.shape, values.shape[-1]))
