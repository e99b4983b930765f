"""Enforce, hold, release contact.

Contact closed: held while it lasts, nothing crossed at any time, feet where they stand.

How two people come out of a hold: frame by frame away from contact, limbs slide off and never pass through.

Which points of two bodies keep their place against each other while a touch is held.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.landmarks import sole_vertices
from closemesh.body.model import BodyModel
from closemesh.geometry.mesh import batched_vertex_normals
from closemesh.lab.synthesis.least_squares import (
    FREE_JOINTS,
    LinearResiduals,
    PosedPairs,
    parameter_sigmas,
    solve_correction,
    turned_further,
    vertex_points,
)
from closemesh.lab.synthesis.pair_motion import PairMotion
from closemesh.lab.synthesis.residuals import (
    NearSearch,
    contact_residuals,
    crossing_rows,
    floor_rows,
    limit_rows,
    parting_rows,
)
from closemesh.lab.synthesis.timing import BlendedMotion, Timing, interpolate

_CLOSING_STEPS = 6
_HELD_STEP, _APART_STEP = 5, 4  # Frames between two that are looked at while nothing is about to cross.
_CLOSING_AROUND = 2  # Frames before and after one in which something crosses that are looked at too.
_CLOSING_MARGIN = 0.01  # Metres between surfaces that nearly cross.
_CLOSING_EVERY = 2  # Only each so manieth vertex is looked at to find those frames.
_CHUNK = 16  # Frames skinned at a time.
_MEETING = 0.003  # Metres, standard deviations.
_CROSSING, _ALLOWED_DEPTH = 0.004, 0.004
_STANDING = 0.01
_BENDING = 0.08  # Of the sigmas of the joints, that a frame may stand out from its neighbours.
_LOW = 0.02  # Metres; points of a standing foot lower than this rest on the floor.


def enforce_contact(blended: BlendedMotion, body: BodyModel) -> PairMotion:
    """The motion of a window, corrected in some of its frames and smoothly between them."""
    looks = _frames_to_look_at(blended, body)
    motion = blended.motion.frames(looks)
    held = blended.timing.contact()[looks].nonzero()[:, 0]
    feet = StandingFeet(blended.motion, blended.standing, body, looks)
    search = NearSearch(body)

    def residuals(posed: PosedPairs, moved: PairMotion) -> LinearResiduals:
        parts = [
            contact_residuals(posed, held, blended.anchors, blended.gaps, _MEETING),
            crossing_rows(posed, search, body.faces, _ALLOWED_DEPTH, _CROSSING),
            floor_rows(posed, feet.points, feet.targets, feet.held, _STANDING),
            limit_rows(moved),
        ]
        return LinearResiduals.join(parts)

    inverse = 1 / parameter_sigmas(blended.anchors, body).expand(len(looks), -1)
    turns, shift = solve_correction(
        motion, body, residuals, inverse, second_differences(looks) / _BENDING, _CLOSING_STEPS
    )
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


def _frames_to_look_at(blended: BlendedMotion, body: BodyModel) -> Tensor:
    """All frames around those in which something crosses or nearly does, few of the others."""
    timing = blended.timing
    frames = torch.arange(timing.length)
    crossed = torch.zeros(timing.length, dtype=torch.bool)
    search = NearSearch(body, _CLOSING_EVERY)
    for part in frames.split(_CHUNK):
        crossed[part[search.find(blended.motion.frames(part).skin(body)[0], _CLOSING_MARGIN).frame.unique()]] = True
    around = crossed.float()[None, None]
    around = torch.nn.functional.max_pool1d(around, 2 * _CLOSING_AROUND + 1, 1, _CLOSING_AROUND)[0, 0] > 0
    held = timing.contact()
    away = torch.maximum(timing.first - frames, frames - timing.last)
    wanted = torch.where(held, (frames - timing.first) % _HELD_STEP == 0, around | (away % _APART_STEP == 0))
    wanted[[0, timing.last, -1]] = True
    return wanted.nonzero()[:, 0]


_SPACING = 2  # Frames from one to the next.
_OPENING_STEPS = 3
_OPENING_EVERY = 2  # Only each so manieth vertex is looked at.
_FADING = 8  # Frames in which what is left of the turns goes.
_STEP_SIZE = 0.3  # Of the usual standard deviations.
_APART = 0.06  # Metres between points that meet, when the two have let go.
_OPENING_MARGIN = 0.01  # Metres between the surfaces then.
_SIGMA = 0.005


def release_contact(blended: BlendedMotion, key: PairMotion, body: BodyModel) -> BlendedMotion:
    """The motion with turns that let the two go before they walk apart, and come together in the same way.

    key: one frame, the key pose. The frames before contact are followed backwards, those after it forwards, both at
    once; each begins with the turns of the one before, so that what is around the partner stays on its side.
    """
    timing = blended.timing
    way = _way_apart(key, blended.anchors, body).expand(2, -1, -1)
    closeness, last = timing.closeness(), len(blended.motion) - 1
    ends = [
        max(timing.first - timing.lingering[0] - timing.reaching, 0),
        min(timing.last + timing.lingering[1] + timing.reaching, last),
    ]
    search = NearSearch(body, _OPENING_EVERY)
    turns = torch.zeros(2, 2, 22, 3)
    frames = torch.tensor([timing.first, timing.last])
    known: dict[int, Tensor] = {}
    for away in range(0, max(timing.first - ends[0], ends[1] - timing.last) + 1, _SPACING):
        before = closeness[frames]
        frames = torch.tensor([max(timing.first - away, ends[0]), min(timing.last + away, ends[1])])
        # What is left of the hold fades with it.
        turns = turns * (closeness[frames] / before.clamp(min=1e-6)).clamp(max=1)[:, None, None, None]
        share = min(away / timing.closing, 1.0)
        turns = _solve_moment(blended, blended.motion.frames(frames), body, search, turns, way, share)
        known |= {int(frame): turn for frame, turn in zip(frames, turns, strict=True)}
    known[round(timing.key)] = (known[timing.first] + known[timing.last]) / 2
    known = _ended(known, timing)
    at = torch.tensor(sorted(known))
    vectors = interpolate(at, torch.stack([known[int(f)] for f in at]), last + 1)
    return replace(blended, motion=blended.motion.moved(vectors, torch.zeros_like(blended.motion.pelvis)))


def _ended(known: dict[int, Tensor], timing: Timing) -> dict[int, Tensor]:
    """The same with turns that come to nothing a little farther out; a window that ends in contact keeps them."""
    last = timing.length - 1
    ended = dict(known)
    for side, (held, end) in enumerate(((timing.starts_in_contact, 0), (timing.ends_in_contact, last))):
        nearest = (min, max)[side](known)
        nothing = torch.zeros_like(known[nearest])
        ended.setdefault(end, known[nearest] if held else nothing)
        faded = nearest + (-_FADING, _FADING)[side]
        if 0 < faded < last:
            ended[faded] = nothing
    return ended


def _solve_moment(
    blended: BlendedMotion,
    base: PairMotion,
    body: BodyModel,
    search: NearSearch,
    turns: Tensor,
    way: Tensor,
    share: float,
) -> Tensor:
    """Turns [2, 2, 22, 3] of two frames, from those of their neighbours; share: 0 in contact, 1 when it is left."""
    both = torch.arange(2)
    start = base.moved(turns, torch.zeros_like(base.pelvis))

    def residuals(posed: PosedPairs, moved: PairMotion) -> LinearResiduals:
        parts = [crossing_rows(posed, search, body.faces, -_OPENING_MARGIN * share, _SIGMA), limit_rows(moved)]
        if share == 0:
            parts.append(contact_residuals(posed, both, blended.anchors, blended.gaps, _SIGMA))
        else:
            parts.append(parting_rows(posed, both, blended.anchors, way, _APART * share, _SIGMA))
        return LinearResiduals.join(parts)

    inverse = 1 / (_STEP_SIZE * parameter_sigmas(blended.anchors, body, rooted=True)).expand(2, -1)
    further, _ = solve_correction(start, body, residuals, inverse, torch.zeros(0, 2), _OPENING_STEPS)
    result = turns.clone()
    result[:, :, FREE_JOINTS] = turned_further(turns[:, :, FREE_JOINTS], further[:, :, FREE_JOINTS])
    return result


def _way_apart(key: PairMotion, anchors: Tensor, body: BodyModel) -> Tensor:
    """Unit vectors [H, 3] from the surface of b to that of a where they meet, in the one frame of `key`."""
    normals = batched_vertex_normals(key.skin(body)[0][0], body.faces)  # [2, V, 3]
    return F.normalize(normals[1, anchors[:, 1]] - normals[0, anchors[:, 0]], dim=-1)


_LARGEST_GAP = 0.006  # Metres that are left between anchors.
_HOLD_AROUND = 0.015, 0.045  # Metres from an anchor to the points around it.
_NEAR = 0.04  # Metres to the partner, beyond which a point is not held.
_POINTS = 2  # Around each anchor.


def contact_point_pairs(key: PairMotion, anchors: Tensor, body: BodyModel) -> tuple[Tensor, Tensor]:
    """Vertices [H, 2] of a and of b, and the gaps [H, 3] in metres from b to a that they are to keep.

    key: one frame, the key pose; anchors [K, 2] come first. Points around each keep its parts from turning.
    """
    a, b = key.skin(body)[0][0]  # [V, 3]
    pairs = [anchors]
    for vertex_a, _ in anchors.tolist():
        away = (a - a[vertex_a]).norm(dim=-1)
        ring = ((away > _HOLD_AROUND[0]) & (away < _HOLD_AROUND[1])).nonzero()[:, 0]
        if len(ring) == 0:
            continue
        distance, partner = torch.cdist(a[ring], b).min(-1)
        near = distance < _NEAR
        pairs.append(_spread(a, torch.stack([ring, partner], dim=-1)[near], vertex_a))
    held = torch.cat(pairs)
    gaps = a[held[:, 0]] - b[held[:, 1]]
    first = gaps[: len(anchors)]
    gaps[: len(anchors)] = first * (_LARGEST_GAP / first.norm(dim=-1, keepdim=True).clamp(min=_LARGEST_GAP))
    return held, gaps


def _spread(points: Tensor, pairs: Tensor, centre: int) -> Tensor:
    """At most `_POINTS` of the pairs [N, 2] whose first vertices lie far from each other and from the centre."""
    chosen = [centre]
    for _ in range(min(_POINTS, len(pairs))):
        distance = torch.cdist(points[pairs[:, 0]], points[chosen]).amin(-1)
        chosen.append(int(pairs[int(distance.argmax()), 0]))
    rows = [int((pairs[:, 0] == vertex).nonzero()[0, 0]) for vertex in chosen[1:]]
    return pairs[rows]
