"""How two people come out of a hold: frame by frame away from contact, limbs slide off and never pass through."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.interactions.blended import Blended, interpolate
from closemesh.interactions.correct import correct, turned_further
from closemesh.interactions.levers import FREE_JOINTS, PosedPairs
from closemesh.interactions.newton import Rows
from closemesh.interactions.pair_motion import PairMotion
from closemesh.interactions.residuals import crossing_rows, limit_rows, meeting_rows, parting_rows
from closemesh.interactions.stiffness import parameter_sigmas
from closemesh.interactions.timing import Timing

_SPACING = 2  # Frames from one to the next.
_STEPS = 3
_FADING = 8  # Frames in which what is left of the turns goes.
_STEP_SIZE = 0.3  # Of the usual standard deviations.
_APART = 0.06  # Metres between points that meet, when the two have let go.
_MARGIN = 0.01  # Metres between the surfaces then.
_SIGMA = 0.005


def open_hold(blended: Blended, key: PairMotion, body: BodyModel) -> Blended:
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
    turns = torch.zeros(2, 2, 22, 3)
    frames = torch.tensor([timing.first, timing.last])
    known: dict[int, Tensor] = {}
    for away in range(0, max(timing.first - ends[0], ends[1] - timing.last) + 1, _SPACING):
        before = closeness[frames]
        frames = torch.tensor([max(timing.first - away, ends[0]), min(timing.last + away, ends[1])])
        # What is left of the hold fades with it.
        turns = turns * (closeness[frames] / before.clamp(min=1e-6)).clamp(max=1)[:, None, None, None]
        share = min(away / timing.closing, 1.0)
        turns = _solve_moment(blended, blended.motion.frames(frames), body, turns, way, share)
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
    blended: Blended, base: PairMotion, body: BodyModel, turns: Tensor, way: Tensor, share: float
) -> Tensor:
    """Turns [2, 2, 22, 3] of two frames, from those of their neighbours; share: 0 in contact, 1 when it is left."""
    both = torch.arange(2)
    start = base.moved(turns, torch.zeros_like(base.pelvis))

    def residuals(posed: PosedPairs, moved: PairMotion) -> Rows:
        parts = [crossing_rows(posed, body.faces, -_MARGIN * share, _SIGMA), limit_rows(moved)]
        if share == 0:
            parts.append(meeting_rows(posed, both, blended.anchors, blended.gaps, _SIGMA))
        else:
            parts.append(parting_rows(posed, both, blended.anchors, way, _APART * share, _SIGMA))
        return Rows.join(parts)

    inverse = 1 / (_STEP_SIZE * parameter_sigmas(blended.anchors, body, rooted=True)).expand(2, -1)
    further, _ = correct(start, body, residuals, inverse, torch.zeros(0, 2), _STEPS)
    result = turns.clone()
    result[:, :, FREE_JOINTS] = turned_further(turns[:, :, FREE_JOINTS], further[:, :, FREE_JOINTS])
    return result


def _way_apart(key: PairMotion, anchors: Tensor, body: BodyModel) -> Tensor:
    """Unit vectors [H, 3] from the surface of b to that of a where they meet, in the one frame of `key`."""
    normals = vertex_normals(key.skin(body)[0][0], body.faces)  # [2, V, 3]
    return F.normalize(normals[1, anchors[:, 1]] - normals[0, anchors[:, 0]], dim=-1)


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals [..., V, 3] of meshes [..., V, 3]."""
    corners = vertices[..., faces, :]  # [..., F, 3, 3]
    across = torch.linalg.cross(corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :])
    sums = torch.zeros_like(vertices)
    for corner in range(3):
        sums.index_add_(-2, faces[:, corner], across)
    return F.normalize(sums, dim=-1)
