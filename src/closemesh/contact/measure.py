"""Close pairs, distances, depths, contact intervals of a clip.

From touches frame by frame to intervals: which part touched which, from when to when.

Who comes close to whom in 3D, and when.

What people do to each other over a clip, measured on their meshes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from closemesh.body.model import BodyModel
from closemesh.contact.body_parts import PART_NAMES, part_labels
from closemesh.contact.signed_distance import Array, WatertightMesh
from closemesh.contact.vertex_contacts import boxes_within, map_frames, posed_chunks, within_box
from closemesh.contact.watertight import watertight_body
from closemesh.core.arrays import Bools, Floats
from closemesh.core.progress import Progress
from closemesh.structures import BodyMotion, Contact, PairContacts


@dataclass(frozen=True)
class ContactConfig:
    """What counts as a contact."""

    touch_distance: float = 0.013
    """Metres; surfaces nearer than this touch."""
    bridge_frames: int = 3
    """A touch that is lost for no more frames than this goes on."""
    shortest_frames: int = 3
    """A touch of fewer frames than this is no contact."""
    near_distance: float = 0.5
    """Metres; pairs that never come nearer are not reported."""


@dataclass(frozen=True)
class PartContact:
    """One part of a against one part of b in one frame."""

    frame: int
    part_a: int
    part_b: int
    distance: float
    """Metres; 0 when the surfaces cross."""
    depth: float


class ContactIntervals:
    """The contacts of one pair, built touch by touch as the frames go by; short gaps bridged, blips dropped."""

    def __init__(self, person_a: int, person_b: int, config: ContactConfig) -> None:
        self._people = person_a, person_b
        self._config = config
        self._open: dict[tuple[int, int], Contact] = {}
        self._closed: list[Contact] = []

    def add(self, touch: PartContact) -> None:
        """Goes on with the contact of these parts, or starts one; frames must not go back."""
        parts = touch.part_a, touch.part_b
        running = self._open.get(parts)
        if running is not None and touch.frame - running.end <= self._config.bridge_frames + 1:
            self._open[parts] = replace(
                running,
                end=touch.frame,
                min_distance=min(running.min_distance, touch.distance),
                max_depth=max(running.max_depth, touch.depth),
            )
            return
        if running is not None:
            self._close(running)
        names = PART_NAMES[touch.part_a], PART_NAMES[touch.part_b]
        self._open[parts] = Contact(*self._people, *names, touch.frame, touch.frame, touch.distance, touch.depth)

    def finish(self) -> tuple[Contact, ...]:
        """All contacts in order of their start."""
        for running in self._open.values():
            self._close(running)
        self._open.clear()
        return tuple(sorted(self._closed, key=lambda contact: (contact.start, contact.part_a, contact.part_b)))

    def _close(self, contact: Contact) -> None:
        if contact.end - contact.start + 1 >= self._config.shortest_frames:
            self._closed.append(contact)


_WELL_POSSIBLE = 2.0  # Standard deviations.


def find_close_pairs(
    motion: BodyMotion, body: BodyModel, max_distance: float, depth_std: Floats | None = None
) -> list[tuple[int, int, Bools]]:
    """Pairs of people (a < b) whose surfaces come nearer than `reach` metres, with the frames [T] in which they are.

    Frames in which one of the two is not valid count as apart; pairs that never come near are left out. The distance
    is that of the coarse query body.

    depth_spread [T, P] metres: how unsure the distance of each person from the camera is, motion in the camera frame.
    Then all pairs count that may well be so near.
    """
    mesh = watertight_body(body, "coarse")
    surface = WatertightMesh(mesh.faces.cpu().numpy(), mesh.v_template.cpu().numpy())
    pairs = list(combinations(range(motion.num_people), 2))
    near = {pair: np.zeros(len(motion.transl), dtype=bool) for pair in pairs}
    for first, vertices in posed_chunks(motion, mesh):
        for a, b in pairs:
            both = motion.valid[first : first + len(vertices), [a, b]].all(-1)
            of_a, of_b = vertices[:, a], vertices[:, b]
            if depth_std is not None:
                spread = depth_std[first : first + len(vertices)]
                of_b = _toward(of_b, of_a, _WELL_POSSIBLE * np.hypot(spread[:, a], spread[:, b]))
            candidates = np.flatnonzero(both & boxes_within(of_a, of_b, max_distance))
            close = map_frames(lambda t, a=of_a, b=of_b: surface.distance(a[t], b[t], max_distance), candidates)
            near[a, b][first + candidates] = np.asarray(close) < max_distance
    return [(a, b, frames) for (a, b), frames in near.items() if frames.any()]


def _toward(vertices: Floats, other: Floats, most: Floats) -> Floats:
    """Vertices [t, V, 3] moved along the line of sight to the depth of others, no more than `most` [t] metres."""
    centre = vertices.mean(1)  # [t, 3]
    missing = np.clip(other[..., 2].mean(1) - centre[:, 2], -most, most)
    return vertices + (centre * (missing / centre[:, 2])[:, None])[:, None]


_DEFAULT = ContactConfig()
_FrameMeasure = tuple[float, float, list[PartContact]]  # Smallest distance, deepest depth, what touches what.
_ABSENT: _FrameMeasure = (math.nan, math.nan, [])


def measure_contacts(
    motion: BodyMotion, body: BodyModel, progress: Progress, config: ContactConfig = _DEFAULT
) -> tuple[PairContacts, ...]:
    """Distance, depth and contacts of every pair that comes near, on the fine query body.

    Distances are from the vertices of either to the surface of the other, whichever is smaller. Streams over the
    frames; distance and depth are nan where one of the two is not valid.
    """
    near = find_close_pairs(motion, body, config.near_distance)
    meter = _Meter(watertight_body(body, "fine"), config)
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
        self._surface = WatertightMesh(body.faces.cpu().numpy(), body.v_template.cpu().numpy())
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


def _by_part(frame: int, rows: NDArray[np.float64]) -> list[PartContact]:
    """One touch for each pair of parts: its smallest distance and its deepest depth."""
    keys, inverse = np.unique(rows[:, 0] * len(PART_NAMES) + rows[:, 1], return_inverse=True)
    distance, depth = np.full(len(keys), np.inf), np.zeros(len(keys))
    np.minimum.at(distance, inverse, rows[:, 2])
    np.maximum.at(depth, inverse, rows[:, 3])
    return [
        PartContact(frame, int(key) // len(PART_NAMES), int(key) % len(PART_NAMES), float(near), float(deep))
        for key, near, deep in zip(keys, distance, depth, strict=True)
    ]
