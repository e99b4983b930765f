"""What people do to each other over a clip, measured on their meshes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from closemesh.body.model import BodyModel
from closemesh.contact.frames import map_frames, posed_chunks, within_box
from closemesh.contact.intervals import ContactConfig, Touch, contact_intervals
from closemesh.contact.pairs import near_pairs
from closemesh.contact.parts import PART_NAMES, part_labels
from closemesh.contact.query_body import query_body
from closemesh.contact.surface import Array, ClosedSurface
from closemesh.progress import Progress
from closemesh.scene import BodyMotion, PairContacts

_DEFAULT = ContactConfig()
_FrameMeasure = tuple[float, float, list[Touch]]  # Smallest distance, deepest depth, what touches what.


def measure_contacts(
    motion: BodyMotion, body: BodyModel, progress: Progress, config: ContactConfig = _DEFAULT
) -> tuple[PairContacts, ...]:
    """Distance, depth and contacts of every pair that comes near, on the fine query body.

    Distances are from the vertices of either to the surface of the other, whichever is smaller. Streams over the
    frames; distance and depth are nan where one of the two is not valid.
    """
    pairs = [(a, b) for a, b, _ in near_pairs(motion, body, config.near_distance)]
    measured = _measure_pairs(motion, body, pairs, progress, config) if pairs else {}
    return tuple(_pair_contacts(a, b, measured[a, b], config) for a, b in pairs)


def _measure_pairs(
    motion: BodyMotion, body: BodyModel, pairs: list[tuple[int, int]], progress: Progress, config: ContactConfig
) -> dict[tuple[int, int], list[_FrameMeasure]]:
    """For each pair one measure per frame."""
    meter = _Meter(query_body(body, "fine"), config)
    measured: dict[tuple[int, int], list[_FrameMeasure]] = {pair: [] for pair in pairs}
    with progress.task("Measuring contact", total=len(motion.transl)) as advance:
        for first, vertices in posed_chunks(motion, meter.body):
            for a, b in pairs:

                def frame_measure(t: int, first: int = first, v: Array = vertices, a: int = a, b: int = b):
                    both = motion.valid[first + t, a] and motion.valid[first + t, b]
                    return meter.measure(first + t, v[t, a], v[t, b]) if both else (np.nan, np.nan, [])

                measured[a, b].extend(map_frames(frame_measure, range(len(vertices))))
            advance(len(vertices))
    return measured


def _pair_contacts(a: int, b: int, frames: list[_FrameMeasure], config: ContactConfig) -> PairContacts:
    touches = [touch for _, _, touching in frames for touch in touching]
    return PairContacts(
        person_a=a,
        person_b=b,
        distance=np.array([distance for distance, _, _ in frames]),
        depth=np.array([depth for _, depth, _ in frames]),
        contacts=contact_intervals(a, b, touches, config),
    )


class _Meter:
    """Measures one frame of two people."""

    def __init__(self, body: BodyModel, config: ContactConfig) -> None:
        self.body = body
        self._labels: NDArray[np.int64] = part_labels(body).cpu().numpy()
        self._surface = ClosedSurface(body.faces.cpu().numpy())
        self._touch_distance = config.touch_distance

    def measure(self, frame: int, a: Array, b: Array) -> _FrameMeasure:
        """Smallest distance, deepest depth and touches of vertices a and b [V, 3]."""
        # [N, 4] part of a, part of b, distance, depth of every vertex that touches.
        rows = np.concatenate([self._touching(a, b), self._touching(b, a)[:, [1, 0, 2, 3]]])
        if len(rows) == 0:
            return min(self._surface.distance(a, b), self._surface.distance(b, a)), 0.0, []
        return rows[:, 2].min(), rows[:, 3].max(), _by_part(frame, rows)

    def _touching(self, points: Array, vertices: Array) -> NDArray[np.float64]:
        """[N, 4] part of the point, part of the surface, distance (0 inside), depth (0 outside)."""
        vertex = within_box(points, vertices, self._touch_distance)
        found = self._surface.closest(points[vertex], vertices)
        touches = found.inside | (found.distance < self._touch_distance)
        inside, distance = found.inside[touches], found.distance[touches]
        corner = found.barycentric[touches].argmax(-1)
        partner = self._surface.faces[found.face[touches], corner]
        parts = self._labels[vertex[touches]], self._labels[partner]
        columns = (*parts, np.where(inside, 0.0, distance), np.where(inside, distance, 0.0))
        return np.stack(columns, axis=-1).astype(np.float64)


def _by_part(frame: int, rows: NDArray[np.float64]) -> list[Touch]:
    """One touch for each pair of parts: its smallest distance and its deepest depth."""
    keys, inverse = np.unique(rows[:, 0] * len(PART_NAMES) + rows[:, 1], return_inverse=True)
    distance, depth = np.full(len(keys), np.inf), np.zeros(len(keys))
    np.minimum.at(distance, inverse, rows[:, 2])
    np.maximum.at(depth, inverse, rows[:, 3])
    return [
        Touch(frame, int(key) // len(PART_NAMES), int(key) % len(PART_NAMES), float(near), float(deep))
        for key, near, deep in zip(keys, distance, depth, strict=True)
    ]
