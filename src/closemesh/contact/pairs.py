"""Who comes close to whom in 3D, and when."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from closemesh.body.model import BodyModel
from closemesh.contact.frames import boxes_within, map_frames, posed_chunks
from closemesh.contact.query_body import query_body
from closemesh.contact.surface import ClosedSurface
from closemesh.scene import BodyMotion, Bools


def near_pairs(motion: BodyMotion, body: BodyModel, reach: float) -> list[tuple[int, int, Bools]]:
    """Pairs of people (a < b) whose surfaces come nearer than `reach` metres, with the frames [T] in which they are.

    Frames in which one of the two is not valid count as apart; pairs that never come near are left out. The distance
    is that of the coarse query body.
    """
    mesh = query_body(body, "coarse")
    surface = ClosedSurface(mesh.faces.cpu().numpy())
    pairs = list(combinations(range(motion.num_people), 2))
    near = {pair: np.zeros(len(motion.transl), dtype=bool) for pair in pairs}
    for first, vertices in posed_chunks(motion, mesh):
        for a, b in pairs:
            both = motion.valid[first : first + len(vertices), [a, b]].all(-1)
            candidates = np.flatnonzero(both & boxes_within(vertices[:, a], vertices[:, b], reach))
            close = map_frames(lambda t, v=vertices, a=a, b=b: surface.distance(v[t, a], v[t, b], reach), candidates)
            near[a, b][first + candidates] = np.asarray(close) < reach
    return [(a, b, frames) for (a, b), frames in near.items() if frames.any()]
