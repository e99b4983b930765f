"""What the meshes of all pairs of a motion do to each other, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from closemesh.body.model import BodyModel
from closemesh.contact.frames import map_frames, posed_chunks
from closemesh.contact.parts import PART_NAMES
from closemesh.contact.query_body import query_body
from closemesh.contact.surface import Array
from closemesh.evaluation.contact_metrics import PartMesh, nearest
from closemesh.evaluation.metrics import person_pairs
from closemesh.evaluation.penetration_metrics import a_pd, overlap_volume
from closemesh.scene import BodyMotion, Floats


@dataclass(frozen=True)
class MeshMeasures:
    """Of every pair (see `person_pairs`) in every frame; nan where one of the two is not valid."""

    part_distances: Floats
    """[T, pairs, 22, 22] metres; 0 where parts cross, inf beyond reach."""
    depth_max: Floats
    """[T, pairs] mm, deepest vertex of either inside the other; 0 where nothing crosses."""
    depth_mean: Floats
    """[T, pairs] mm, mean over the vertices of either inside the other; 0 where nothing crosses."""
    volume: Floats
    """[T, pairs] cubic centimetres inside both."""
    a_pd: Floats
    """[T, pairs] mm."""

    @property
    def distance(self) -> Floats:
        """[T, pairs] metres between the surfaces; 0 where they cross, inf beyond reach."""
        return nearest(self.part_distances)


def measure_meshes(motion: BodyMotion, body: BodyModel) -> MeshMeasures:
    """Measured on the fine query body of `body`; the meshes are made some frames at a time."""
    mesh = query_body(body)
    parts = PartMesh(mesh)
    pairs = person_pairs(motion.num_people)
    measures = _empty(len(motion.transl), len(pairs))
    for first, vertices in posed_chunks(motion, mesh) if pairs else ():
        for column, (a, b) in enumerate(pairs):
            both = np.flatnonzero(motion.valid[first : first + len(vertices), [a, b]].all(-1))
            found = map_frames(lambda t, v=vertices, a=a, b=b: _measure(parts, v[t, a], v[t, b]), both)
            for t, values in zip(first + both, found, strict=True):
                for array, value in zip(vars(measures).values(), values, strict=True):
                    array[t, column] = value
    return measures


def _measure(parts: PartMesh, a: Array, b: Array) -> tuple[Floats, float, float, float, float]:
    """The fields of MeshMeasures, of one pair in one frame."""
    geometry = parts.measure(a, b)
    depths = 1000 * geometry.depths if len(geometry.depths) else np.zeros(1)
    volume, average_depth = overlap_volume(a, b, parts.faces), a_pd(a, b, parts.faces)
    return geometry.part_distances, float(depths.max()), float(depths.mean()), volume, average_depth


def _empty(num_frames: int, num_pairs: int) -> MeshMeasures:
    count = len(PART_NAMES)
    return MeshMeasures(
        np.full((num_frames, num_pairs, count, count), np.nan, np.float32),
        *(np.full((num_frames, num_pairs), np.nan) for _ in range(4)),
    )
