"""Contact of people over a clip as in contacts.json: close pairs, distances, penetration depths, contact intervals."""

from __future__ import annotations

import math
from collections import defaultdict
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
from closemesh.temporal import find_runs


@dataclass(frozen=True)
class ContactConfig:
    """Thresholds of contact."""

    touch_distance: float = 0.013
    """Meters; surfaces nearer than this touch."""
    bridge_frames: int = 3
    """Longest interruption of a contact."""
    shortest_frames: int = 3
    """Shortest contact; in a shorter clip, one that lasts from its first to its last frame."""
    near_distance: float = 0.5
    """Meters; pairs that never come nearer are not reported."""


@dataclass(frozen=True)
class PartContact:
    """One body part of person a that touches one of person b in one frame."""

    frame: int
    part_a: int
    part_b: int
    distance: float
    """Meters; 0 when the surfaces intersect."""
    depth: float
    """Meters of penetration."""


def contact_intervals(
    person_a: int, person_b: int, touches: list[PartContact], config: ContactConfig
) -> tuple[Contact, ...]:
    """Contacts of one pair in order of their start; `touches` in order of their frames.

    Short interruptions are bridged and short contacts are left out.
    """
    by_parts: dict[tuple[int, int], list[PartContact]] = defaultdict(list)
    for touch in touches:
        by_parts[touch.part_a, touch.part_b].append(touch)
    contacts = []
    for (part_a, part_b), found in by_parts.items():
        frames = np.array([touch.frame for touch in found])
        for run in find_runs(np.ones(len(found), bool), config.bridge_frames + 1, frames):
            start, end = found[run][0].frame, found[run][-1].frame
            if end - start + 1 < config.shortest_frames:
                continue
            distance, depth = min(touch.distance for touch in found[run]), max(touch.depth for touch in found[run])
            names = PART_NAMES[part_a], PART_NAMES[part_b]
            contacts.append(Contact(person_a, person_b, names[0], names[1], start, end, distance, depth))
    return tuple(sorted(contacts, key=lambda contact: (contact.start, contact.part_a, contact.part_b)))


_POSSIBLE_SIGMAS = 2.0  # Standard deviations of the relative depth that are still possible.


def find_close_pairs(
    motion: BodyMotion, body: BodyModel, max_distance: float, depth_std: Floats | None = None
) -> list[tuple[int, int, Bools]]:
    """Pairs of people (a < b) whose surfaces come nearer than max_distance meters, with those frames [T].

    Frames in which one of them is not valid do not count. The distance is that of the coarse watertight body.
    depth_std [T, P] in meters, for a motion in the camera frame: standard deviation of each person's depth. The
    distance is then the smallest that is possible within two standard deviations.
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
                std = depth_std[first : first + len(vertices)]
                of_b = _moved_toward(of_b, of_a, _POSSIBLE_SIGMAS * np.hypot(std[:, a], std[:, b]))
            candidates = np.flatnonzero(both & boxes_within(of_a, of_b, max_distance))
            distances = map_frames(lambda t, a=of_a, b=of_b: surface.distance(a[t], b[t], max_distance), candidates)
            near[a, b][first + candidates] = np.asarray(distances) < max_distance
    return [(a, b, frames) for (a, b), frames in near.items() if frames.any()]


def _moved_toward(vertices: Floats, other: Floats, limit: Floats) -> Floats:
    """Vertices [t, V, 3] moved along the line of sight toward the depth of `other`, by at most limit [t] meters."""
    center = vertices.mean(1)  # [t, 3]
    step = np.clip(other[..., 2].mean(1) - center[:, 2], -limit, limit)
    return vertices + (center * (step / center[:, 2])[:, None])[:, None]


_DEFAULT = ContactConfig()
_FrameMeasure = tuple[float, float, list[PartContact]]  # Smallest distance, deepest penetration, touching parts.
_ABSENT: _FrameMeasure = (math.nan, math.nan, [])


def measure_contacts(
    motion: BodyMotion, body: BodyModel, progress: Progress, config: ContactConfig = _DEFAULT
) -> tuple[PairContacts, ...]:
    """Distance, depth and contacts of every pair that comes near, on the fine watertight body.

    The distance is the smaller one of vertices of a to the surface of b, and of b to a. Distance and depth are nan
    where one of them is not valid.
    """
    near = find_close_pairs(motion, body, config.near_distance)
    meter = _Meter(watertight_body(body, "fine"), config)
    records = [_PairRecord(a, b, len(motion.transl), config) for a, b, _ in near]
    with progress.task("contact", total=len(motion.transl) if records else 0) as advance:
        for first, vertices in posed_chunks(motion, meter.body) if records else ():
            for record in records:
                record.add(first, _measure_chunk(meter, motion, record, first, vertices))
            advance(len(vertices))
    return tuple(record.finish() for record in records)


def _measure_chunk(
    meter: _Meter, motion: BodyMotion, record: _PairRecord, first: int, vertices: Array
) -> list[_FrameMeasure]:
    """The measure of each frame of vertices [t, P, V, 3]; the first frame is `first`."""
    a, b = record.person_a, record.person_b
    both_valid = np.all(motion.valid[first : first + len(vertices), [a, b]], axis=-1)

    def measure(t: int) -> _FrameMeasure:
        return meter.measure(first + t, vertices[t, a], vertices[t, b]) if both_valid[t] else _ABSENT

    return map_frames(measure, range(len(vertices)))


class _PairRecord:
    """Measures of one pair, collected over the frames."""

    def __init__(self, person_a: int, person_b: int, num_frames: int, config: ContactConfig) -> None:
        self.person_a, self.person_b = person_a, person_b
        self._distance, self._depth = np.full(num_frames, np.nan), np.full(num_frames, np.nan)
        self._touches: list[PartContact] = []
        self._config = replace(config, shortest_frames=min(config.shortest_frames, num_frames))

    def add(self, first: int, measures: list[_FrameMeasure]) -> None:
        for frame, (distance, depth, touches) in enumerate(measures, start=first):
            self._distance[frame], self._depth[frame] = distance, depth
            self._touches += touches

    def finish(self) -> PairContacts:
        contacts = contact_intervals(self.person_a, self.person_b, self._touches, self._config)
        return PairContacts(self.person_a, self.person_b, self._distance, self._depth, contacts)


class _Meter:
    """Measures one frame of two people."""

    def __init__(self, body: BodyModel, config: ContactConfig) -> None:
        self.body = body
        self._labels: NDArray[np.int64] = part_labels(body).cpu().numpy()
        self._surface = WatertightMesh(body.faces.cpu().numpy(), body.v_template.cpu().numpy())
        self._touch_distance = config.touch_distance

    def measure(self, frame: int, a: Array, b: Array) -> _FrameMeasure:
        """Smallest distance, deepest penetration and touching parts of vertices a [V, 3] and b [V, 3]."""
        # [N, 4] part of a, part of b, distance and depth of every vertex that touches.
        rows = np.concatenate([self._touching(a, b), self._touching(b, a)[:, [1, 0, 2, 3]]])
        if len(rows) == 0:
            return min(self._surface.distance(a, b), self._surface.distance(b, a)), 0.0, []
        return rows[:, 2].min(), rows[:, 3].max(), _by_part(frame, rows)

    def _touching(self, points: Array, vertices: Array) -> NDArray[np.float64]:
        """Rows [N, 4]: part of the point, part of the surface, distance (0 inside), depth (0 outside)."""
        vertex = within_box(points, vertices, self._touch_distance)
        if len(vertex) == 0:
            return np.zeros((0, 4))
        found = self._surface.closest(points[vertex], vertices)
        touches = found.inside | (found.distance < self._touch_distance)
        inside, distance = found.inside[touches], found.distance[touches]
        corner = found.barycentric[touches].argmax(-1)
        partner = self._surface.faces[found.face[touches], corner]
        own_parts, partner_parts = self._labels[vertex[touches]], self._labels[partner]
        columns = (own_parts, partner_parts, np.where(inside, 0.0, distance), np.where(inside, distance, 0.0))
        return np.stack(columns, axis=-1).astype(np.float64)


def _by_part(frame: int, rows: NDArray[np.float64]) -> list[PartContact]:
    """One record for each pair of parts, with its smallest distance and deepest penetration."""
    keys, inverse = np.unique(rows[:, 0] * len(PART_NAMES) + rows[:, 1], return_inverse=True)
    distance, depth = np.full(len(keys), np.inf), np.zeros(len(keys))
    np.minimum.at(distance, inverse, rows[:, 2])
    np.maximum.at(depth, inverse, rows[:, 3])
    return [
        PartContact(frame, int(key) // len(PART_NAMES), int(key) % len(PART_NAMES), float(near), float(deep))
        for key, near, deep in zip(keys, distance, depth, strict=True)
    ]
