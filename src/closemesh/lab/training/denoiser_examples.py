"""Windows, masking.

Lessons for the prior: windows of first motions with their truth, in random order.

Masked training: what of a lesson is hidden, what stands in its place, and what is said of it (CloseInt).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from torch import Tensor

from closemesh.geometry.rotations import rotation_6d_to_matrix
from closemesh.interaction_prior.refine import SMALLEST_BETA, SMALLEST_MOVE, SMALLEST_TURN
from closemesh.interaction_prior.state import PairSpread, PairState, pack, pair_view, unpack
from closemesh.interaction_prior.windows import WINDOW, PairWindows, state_to_view
from closemesh.lab.training.initial_motions import FOCAL, InitialMotions

_Record = TypeVar("_Record", PairState, PairSpread)


@dataclass(frozen=True)
class TrainingExample:
    """Windows and their truth."""

    windows: PairWindows
    truth: PairState
    known: Tensor  # [B, 2, 22] bool

    def chosen(self, swap: Tensor) -> TrainingExample:
        """The two people exchanged in the windows where `swap` [B] says so."""
        windows, other = self.windows, self.windows.swapped()
        names = ("points", "inverse_sigmas", "limbs", "hidden", "touching")
        people = {name: _either(swap, getattr(other, name), getattr(windows, name)) for name in names}
        mean, spread = (
            _either_record(swap, other.mean, windows.mean),
            _either_record(swap, other.spread, windows.spread),
        )
        return TrainingExample(
            replace(windows, mean=mean, spread=spread, **people),
            _either_record(swap, self.truth.swapped(), self.truth),
            _either(swap, self.known.flip(1), self.known),
        )


def sample_examples(starts: InitialMotions, count: int, generator: torch.Generator) -> TrainingExample:
    """Random windows of WINDOW frames; the two people in random order."""
    device = starts.times.device
    which = torch.randint(len(starts), (count,), generator=generator, device=device)
    first = torch.randint(starts.times.shape[1] - WINDOW + 1, (count,), generator=generator, device=device)
    lesson = lesson_of(starts, which, first[:, None] + torch.arange(WINDOW, device=device))
    return lesson.chosen(torch.rand(count, generator=generator, device=device) < 0.5)


def lesson_of(starts: InitialMotions, which: Tensor, frames: Tensor) -> TrainingExample:
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
        mean=state_to_view(cam, view),
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
    return TrainingExample(windows, state_to_view(state("true_"), view), starts.known[which])


def _either(swap: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(swap.reshape(-1, *([1] * (a.ndim - 1))), a, b)


def _either_record(swap: Tensor, a: _Record, b: _Record) -> _Record:
    return type(a)(**{f.name: _either(swap, getattr(a, f.name), getattr(b, f.name)) for f in fields(a)})


TURN_RATE, MOVE_RATE = 0.5, 0.1  # Radians, metres by which a second without sight widens the spread about each axis.
UNKNOWN_TURN, UNKNOWN_MOVE, UNKNOWN_BETA = 0.5, 0.5, 1.0  # Spread of a person who is never seen: radians, metres.


def mask_frames(lesson: TrainingExample, hidden: Tensor) -> TrainingExample:
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


def tell_touching(lesson: TrainingExample, share: float, generator: torch.Generator) -> TrainingExample:
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
