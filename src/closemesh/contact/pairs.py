"""Who comes close to whom in 3D, and when."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from closemesh.body.model import BodyModel
from closemesh.contact.frames import boxes_within, map_frames, posed_chunks
from closemesh.contact.query_body import query_body
from closemesh.contact.surface import ClosedSurface
from closemesh.scene import BodyMotion, Bools, Floats

_WELL_POSSIBLE = 2.0  # Standard deviations.


def near_pairs(
    motion: BodyMotion, body: BodyModel, reach: float, depth_spread: Floats | None = None
) -> list[tuple[int, int, Bools]]:
    """Pairs of people (a < b) whose surfaces come nearer than `reach` metres, with the frames [T] in which they are.

    Frames in which one of the two is not valid count as apart; pairs that never come near are left out. The distance
    is that of the coarse query body.

    depth_spread [T, P] metres: how unsure the distance of each person from the camera is, motion in the camera frame.
    Then all pairs count that may well be so near.
    """
    mesh = query_body(body, "coarse")
    surface = ClosedSurface(mesh.faces.cpu().numpy(), mesh.v_template.cpu().numpy())
    pairs = list(combinations(range(motion.num_people), 2))
    near = {pair: np.zeros(len(motion.transl), dtype=bool) for pair in pairs}
    for first, vertices in posed_chunks(motion, mesh):
        for a, b in pairs:
            both = motion.valid[first : first + len(vertices), [a, b]].all(-1)
            of_a, of_b = vertices[:, a], vertices[:, b]
            if depth_spread is not None:
                spread = depth_spread[first : first + len(vertices)]
                of_b = _toward(of_b, of_a, _WELL_POSSIBLE * np.hypot(spread[:, a], spread[:, b]))
            candidates = np.flatnonzero(both & boxes_within(of_a, of_b, reach))
            close = map_frames(lambda t, a=of_a, b=of_b: surface.distance(a[t], b[t], reach), candidates)
            near[a, b][first + candidates] = np.asarray(close) < reach
    return [(a, b, frames) for (a, b), frames in near.items() if frames.any()]


def _toward(vertices: Floats, other: Floats, most: Floats) -> Floats:
    """Vertices [t, V, 3] moved along the line of sight to the depth of others, no more than `most` [t] metres."""
    centre = vertices.mean(1)  # [t, 3]
    missing = np.clip(other[..., 2].mean(1) - centre[:, 2], -most, most)
    return vertices + (centre * (missing / centre[:, 2])[:, None])[:, None]
