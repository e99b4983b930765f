"""Contact closed: held while it lasts, nothing crossed at any time, feet where they stand."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.body.feet import sole_vertices
from closemesh.body.model import BodyModel
from closemesh.interactions.blended import Blended, interpolate
from closemesh.interactions.correct import correct
from closemesh.interactions.levers import PosedPairs, vertex_points
from closemesh.interactions.newton import Rows
from closemesh.interactions.pair_motion import PairMotion
from closemesh.interactions.residuals import crossing_rows, floor_rows, limit_rows, meeting_rows
from closemesh.interactions.search import NearSearch
from closemesh.interactions.stiffness import parameter_sigmas

_STEPS = 6
_HELD_STEP, _APART_STEP = 5, 4  # Frames between two that are looked at while nothing is about to cross.
_AROUND = 2  # Frames before and after one in which something crosses that are looked at too.
_MARGIN = 0.01  # Metres between surfaces that nearly cross.
_EVERY = 2  # Only each so manieth vertex is looked at to find those frames.
_CHUNK = 16  # Frames skinned at a time.
_MEETING = 0.003  # Metres, standard deviations.
_CROSSING, _ALLOWED_DEPTH = 0.004, 0.004
_STANDING = 0.01
_BENDING = 0.08  # Of the sigmas of the joints, that a frame may stand out from its neighbours.
_LOW = 0.02  # Metres; points of a standing foot lower than this rest on the floor.


def close_contact(blended: Blended, body: BodyModel) -> PairMotion:
    """The motion of a window, corrected in some of its frames and smoothly between them."""
    looks = _frames_to_look_at(blended, body)
    motion = blended.motion.frames(looks)
    held = blended.timing.contact()[looks].nonzero()[:, 0]
    feet = StandingFeet(blended.motion, blended.standing, body, looks)
    search = NearSearch(body)

    def residuals(posed: PosedPairs, moved: PairMotion) -> Rows:
        parts = [
            meeting_rows(posed, held, blended.anchors, blended.gaps, _MEETING),
            crossing_rows(posed, search, body.faces, _ALLOWED_DEPTH, _CROSSING),
            floor_rows(posed, feet.points, feet.targets, feet.held, _STANDING),
            limit_rows(moved),
        ]
        return Rows.join(parts)

    inverse = 1 / parameter_sigmas(blended.anchors, body).expand(len(looks), -1)
    turns, shift = correct(motion, body, residuals, inverse, second_differences(looks) / _BENDING, _STEPS)
    length = len(blended.motion)
    return blended.motion.moved(interpolate(looks, turns, length), interpolate(looks, shift, length))


def second_differences(frames: Tensor) -> Tensor:
    """How far [M, F] each of frames [F] but the first and last stands out from the line between its neighbours."""
    bends = torch.zeros(max(len(frames) - 2, 0), len(frames))
    for row in range(len(bends)):
        before, here, after = frames[row : row + 3].tolist()
        share = (here - before) / (after - before)
        bends[row, row : row + 3] = torch.tensor([share - 1, 1.0, -share])
    return bends


class StandingFeet:
    """Where the points of standing feet rest: each at the mean of where it is while it rests."""

    def __init__(self, motion: PairMotion, standing: Tensor, body: BodyModel, looks: Tensor) -> None:
        """standing [T, 2, 2] bool, person and foot; looks [F]: the frames that points, targets and held are of."""
        soles = sole_vertices(body)[:, [0, 3, 8, 11]]  # [2, 4] heel to toe of each foot
        vertices = motion.skin(body.subset(soles.flatten()))[0].unflatten(2, (2, 4))  # [T, 2, 2, 4, 3]
        rests = standing[..., None] & (vertices[..., 1] < _LOW)
        where = _mean_of_runs(vertices.flatten(1, 3), rests.flatten(1)).view(vertices.shape)
        where[..., 1] = vertices[..., 1].clamp(0, _LOW / 4)
        frame = torch.arange(len(looks)).repeat_interleave(2 * soles.numel())
        person = torch.arange(2).repeat_interleave(soles.numel()).repeat(len(looks))
        self.points = vertex_points(frame, person, soles.flatten().repeat(2 * len(looks)))
        self.targets = where[looks].flatten(0, 3)
        self.held = rests[looks].flatten()


def _mean_of_runs(positions: Tensor, rests: Tensor) -> Tensor:
    """Positions [T, N, 3] with each run of frames in which a point rests [T, N] replaced by the run's mean."""
    starts = rests & ~torch.cat([torch.zeros_like(rests[:1]), rests[:-1]])
    run = starts.int().cumsum(0) * rests  # 0 where it does not rest
    result = positions.clone()
    for number in range(1, int(run.max()) + 1):
        here = (run == number)[..., None]
        mean = (positions * here).sum(0) / here.sum(0).clamp(min=1)
        result = torch.where(here, mean, result)
    return result


def _frames_to_look_at(blended: Blended, body: BodyModel) -> Tensor:
    """All frames around those in which something crosses or nearly does, few of the others."""
    timing = blended.timing
    frames = torch.arange(timing.length)
    crossed = torch.zeros(timing.length, dtype=torch.bool)
    search = NearSearch(body, _EVERY)
    for part in frames.split(_CHUNK):
        crossed[part[search.find(blended.motion.frames(part).skin(body)[0], _MARGIN).frame.unique()]] = True
    around = crossed.float()[None, None]
    around = torch.nn.functional.max_pool1d(around, 2 * _AROUND + 1, 1, _AROUND)[0, 0] > 0
    held = timing.contact()
    away = torch.maximum(timing.first - frames, frames - timing.last)
    wanted = torch.where(held, (frames - timing.first) % _HELD_STEP == 0, around | (away % _APART_STEP == 0))
    wanted[[0, timing.last, -1]] = True
    return wanted.nonzero()[:, 0]
