"""Which points of two bodies keep their place against each other while a touch is held."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.interactions.pair_motion import PairMotion

_LARGEST_GAP = 0.006  # Metres that are left between anchors.
_AROUND = 0.015, 0.045  # Metres from an anchor to the points around it.
_NEAR = 0.04  # Metres to the partner, beyond which a point is not held.
_POINTS = 2  # Around each anchor.


def hold_points(key: PairMotion, anchors: Tensor, body: BodyModel) -> tuple[Tensor, Tensor]:
    """Vertices [H, 2] of a and of b, and the gaps [H, 3] in metres from b to a that they are to keep.

    key: one frame, the key pose; anchors [K, 2] come first. Points around each keep its parts from turning.
    """
    a, b = key.skin(body)[0][0]  # [V, 3]
    pairs = [anchors]
    for vertex_a, _ in anchors.tolist():
        away = (a - a[vertex_a]).norm(dim=-1)
        ring = ((away > _AROUND[0]) & (away < _AROUND[1])).nonzero()[:, 0]
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
