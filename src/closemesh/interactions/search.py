"""Which vertices lie in the other body or just outside it, for the inner loops: one query tells both."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.contact.crossings import SurfacePairs
from closemesh.contact.frames import boxes_within, within_box
from closemesh.contact.surface import ClosedSurface

_DEEPEST = 0.05  # Metres; what lies deeper is not found when a margin is asked for, but what surrounds it is.


class NearSearch:
    """Looks for crossing and nearly crossing vertices of two bodies that share their faces."""

    def __init__(self, body: BodyModel, every: int = 1) -> None:
        """body: a closed mesh; every: only each so manieth vertex is looked at."""
        self._surface = ClosedSurface(body.faces.numpy())
        self._ids = np.arange(0, len(body.v_template), every)

    def find(self, vertices: Tensor, margin: float) -> SurfacePairs:
        """Vertices inside the other body, and outside it but nearer than `margin` metres; vertices [F, 2, V, 3].

        `outward` points out of the other body for both.
        """
        bodies = vertices.double().numpy()
        frames = np.flatnonzero(boxes_within(bodies[:, 0], bodies[:, 1], margin))
        columns = [self._one_way(bodies, int(frame), from_a, margin) for frame in frames for from_a in (True, False)]
        joined = [np.concatenate(column) for column in zip(_NOTHING, *columns, strict=True)]
        frame, from_a, vertex, face, barycentric, outward = map(torch.as_tensor, joined)
        return SurfacePairs(frame, from_a, vertex, face, barycentric.float(), outward.float())

    def _one_way(self, bodies: np.ndarray, frame: int, from_a: bool, margin: float) -> tuple[np.ndarray, ...]:
        own, other = bodies[frame] if from_a else bodies[frame, ::-1]
        vertex = self._ids[within_box(own[self._ids], other, margin)]
        if len(vertex) == 0:
            return _NOTHING
        ids, found = self._surface.meeting(own[vertex], other, margin)
        if margin > 0:
            shallow = found.distance < _DEEPEST
            ids, found = ids[shallow], found.where(shallow)
        origin = np.full(len(ids), frame), np.full(len(ids), from_a), vertex[ids]
        return (*origin, found.face, found.barycentric, found.outward)


_NOTHING = (
    *(np.zeros(0, dtype) for dtype in (np.int64, np.bool_, np.int64, np.int64)),
    *(np.zeros((0, 3)), np.zeros((0, 3))),
)
