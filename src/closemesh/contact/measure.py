"""What people do to each other over a clip, measured on their meshes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from closemesh.body.model import BodyModel
from closemesh.contact.frames import map_frames, posed_chunks, within_box
from closemesh.contact.intervals import ContactConfig, ContactIntervals, Touch
from closemesh.contact.pairs import near_pairs
from closemesh.contact.parts import PART_NAMES, part_labels
from closemesh.contact.query_body import query_body
from closemesh.contact.surface import Array, ClosedSurface
from closemesh.progress import Progress
from closemesh.scene import BodyMotion, PairContacts

_DEFAULT = ContactConfig()
_FrameMeasure = tuple[float, float, list[Touch]]  # Smallest distance, deepest depth, what touches what.
_ABSENT: _FrameMeasure = (math.nan, math.nan, [])


def measure_contacts(
    motion: BodyMotion, body: BodyModel, progress: Progress, config: ContactConfig = _DEFAULT
) -> tuple[PairContacts, ...]:
    """Distance, depth and contacts of every pair that comes near, on the fine query body.

    Distances are from the vertices of either to the surface of the other, whichever is smaller. Streams over the
    frames; distance and depth are nan where one of the two is not valid.
    """
    near = near_pairs(motion, body, config.near_distance)
    meter = _Meter(query_body(body, "fine"), config)
    records = [_PairRecord(a, b, len(motion.transl), config) for a, b, _ in near]
    with progress.task("Measuring contact", total=len(motion.transl) if records else 0) as advance:
        for first, vertices in posed_chunks(motion, meter.body) if records else ():
            for record in records:
                record.add(first, _measure_chunk(meter, motion, record, first, vertices))
            advance(len(vertices))
    return tuple(record.finish() for record in records)


def _measure_chunk(
    meter: _Meter, motion: BodyMotion, record: _PairRecord, first: int, vertices: Array
) -> list[_FrameMeasure]:
    """One measure for each frame of vertices [t, P, V, 3], whose first frame is `first`."""
    a, b = record.person_a, record.person_b
    both_valid = np.all(motion.valid[first : first + len(vertices), [a, b]], axis=-1)

    def measure(t: int) -> _FrameMeasure:
        return meter.measure(first + t, vertices[t, a], vertices[t, b]) if both_valid[t] else _ABSENT

    return map_frames(measure, range(len(vertices)))


class _PairRecord:
    """What is kept of the frames of one pair."""

    def __init__(self, person_a: int, person_b: int, num_frames: int, config: ContactConfig) -> None:
        self.person_a, self.person_b = person_a, person_b
        self._distance, self._depth = np.full(num_frames, np.nan), np.full(num_frames, np.nan)
        self._intervals = ContactIntervals(person_a, person_b, config)

    def add(self, first: int, measures: list[_FrameMeasure]) -> None:
        for frame, (distance, depth, touches) in enumerate(measures, start=first):
            self._distance[frame], self._depth[frame] = distance, depth
            for touch in touches:
                self._intervals.add(touch)

    def finish(self) -> PairContacts:
        return PairContacts(self.person_a, self.person_b, self._distance, self._depth, self._intervals.finish())


class _Meter:
    """Measures one frame of two people."""

    def __init__(self, body: BodyModel, config: ContactConfig) -> None:
        self.body = body
        self._labels: NDArray[np.int64] = part_labels(body).cpu().numpy()
        self._surface = ClosedSurface(body.faces.cpu().numpy(), body.v_template.cpu().numpy())
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
        if len(vertex) == 0:
            return np.zeros((0, 4))
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
