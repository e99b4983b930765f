"""Part distances, F1, PCC, mesh metrics of a clip.

Which parts of two bodies touch: distances between all parts, and how well they agree with the truth.

What the meshes of all pairs of a motion do to each other, frame by frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from closemesh.body.model import BodyModel
from closemesh.contact.aabb_tree import AabbTree, build_aabb_tree, smallest_distance
from closemesh.contact.body_parts import PART_NAMES, part_labels
from closemesh.contact.signed_distance import Array, WatertightMesh
from closemesh.contact.vertex_contacts import map_frames, posed_chunks
from closemesh.contact.watertight import watertight_body
from closemesh.core.arrays import Floats
from closemesh.lab.evaluation.joint_metrics import person_pairs
from closemesh.lab.evaluation.penetration_metrics import a_pd, overlap_volume, points_inside
from closemesh.structures import BodyMotion

REACH = 0.2  # Metres; parts farther apart are told as infinitely far.
_PARTS = len(PART_NAMES)


@dataclass(frozen=True)
class PairGeometry:
    """How two bodies stand to each other in one frame."""

    part_distances: Floats
    """[22, 22] metres from each part of a to each part of b; 0 where they cross, inf beyond REACH."""
    depths: Floats
    """[N] metres below the other's surface, of every vertex of either that is inside the other."""


class PartMesh:
    """A closed mesh whose vertices belong to parts of the body, prepared once for many frames."""

    def __init__(self, body: BodyModel) -> None:
        """body: one closed surface, see `query_body`."""
        self.faces = WatertightMesh(body.faces.cpu().numpy()).faces
        self._labels = part_labels(body).cpu().numpy()
        corner_labels = self._labels[self.faces]  # [F, 3]
        self._vertices_of = [np.flatnonzero(self._labels == part) for part in range(_PARTS)]
        # A face on the border belongs to both parts, so that parts have no gap between them.
        self._faces_of = [self.faces[(corner_labels == part).any(-1)] for part in range(_PARTS)]

    def measure(self, a: Array, b: Array) -> PairGeometry:
        """Distances and depths of two people's vertices a and b [V, 3]."""
        distances = self._outer_distances(a, b)
        forth, back = points_inside(a, b, self.faces), points_inside(b, a, self.faces)
        distances[self._labels[forth.point], self._labels[forth.nearest]] = 0
        distances[self._labels[back.nearest], self._labels[back.point]] = 0
        return PairGeometry(distances, np.concatenate([forth.depth, back.depth]))

    def _outer_distances(self, a: Array, b: Array) -> Floats:
        """[22, 22] between the surfaces, wherever inside is."""
        distances = np.full((_PARTS, _PARTS), np.inf)
        boxes_a, boxes_b = self._part_boxes(a), self._part_boxes(b)
        gaps = np.maximum(boxes_a[0][:, None] - boxes_b[1], boxes_b[0] - boxes_a[1][:, None])  # [22, 22, 3]
        near = np.argwhere(np.linalg.norm(np.maximum(gaps, 0), axis=-1) < REACH)
        trees_a = {part: self._tree(a, part) for part in np.unique(near[:, 0])}
        trees_b = {part: self._tree(b, part) for part in np.unique(near[:, 1])}
        for i, j in near:
            forth = _distance(a[self._vertices_of[i]], trees_b[j], REACH)
            back = _distance(b[self._vertices_of[j]], trees_a[i], min(forth, REACH))
            distances[i, j] = min(forth, back)
        return distances

    def _part_boxes(self, vertices: Array) -> tuple[Floats, Floats]:
        """Lower and upper corners [22, 3]."""
        parts = [vertices[ids] for ids in self._vertices_of]
        return np.stack([part.min(0) for part in parts]), np.stack([part.max(0) for part in parts])

    def _tree(self, vertices: Array, part: int) -> AabbTree:
        return build_aabb_tree(vertices, self._faces_of[part])


def _distance(points: Array, tree: AabbTree, reach: float) -> float:
    """From the nearest of the points [N, 3] to the faces of the tree; inf beyond reach."""
    gap = np.maximum(np.maximum(tree.boxes[1, :3] - points, points - tree.boxes[1, 3:]), 0)
    squared = (gap * gap).sum(-1)
    near = np.flatnonzero(squared < reach * reach)
    # Points near the box first: their distance spares the others the walk.
    near = near[np.argsort(squared[near])]
    return float(smallest_distance(points[near], tree.boxes, tree.starts, tree.corners, reach))


def precision(predicted: Floats, truth: Floats, threshold: float) -> Floats:
    """Share of the touching parts that truly touch [...]; nan where none touches. Distances [..., 22, 22] metres.

    Two parts touch when they are nearer than `threshold` metres.
    """
    both, told, _ = _counts(predicted, truth, threshold)
    return _ratio(both, told)


def recall(predicted: Floats, truth: Floats, threshold: float) -> Floats:
    """Share of the truly touching parts that touch [...]; nan where none truly touches."""
    both, _, true = _counts(predicted, truth, threshold)
    return _ratio(both, true)


def f1(predicted: Floats, truth: Floats, threshold: float) -> Floats:
    """Harmonic mean of precision and recall [...], 0 where nothing is right; nan where nothing touches in either."""
    both, told, true = _counts(predicted, truth, threshold)
    return _ratio(2 * both, told + true)


def pcc(predicted: Floats, truth: Floats, radius: float, threshold: float) -> Floats:
    """Percentage of correct contact points (BUDDI), as a share [...].

    Of the parts that truly touch (nearer than `threshold` metres), those that come nearer than `radius` metres. Over
    the 22 parts of contact.parts, not over the 75 regions of FlickrCI3D. nan where nothing truly touches.
    """
    touch = _known(predicted, truth, truth < threshold)
    return _ratio((touch * (predicted < radius)).sum((-2, -1)), touch.sum((-2, -1)))


def nearest(distances: Floats) -> Floats:
    """Smallest distance [...] of two bodies, metres; inf beyond REACH, nan where unknown."""
    return distances.min((-2, -1))


def _counts(predicted: Floats, truth: Floats, threshold: float) -> tuple[Floats, Floats, Floats]:
    """How many pairs of parts touch in both, in the prediction, in the truth [...]."""
    told, true = (_known(predicted, truth, d < threshold) for d in (predicted, truth))
    return (told * true).sum((-2, -1)), told.sum((-2, -1)), true.sum((-2, -1))


def _known(predicted: Floats, truth: Floats, touch: np.ndarray) -> Floats:
    return np.where(np.isnan(predicted) | np.isnan(truth), np.nan, touch)


def _ratio(part: Floats, whole: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


@dataclass(frozen=True)
class MeshMetrics:
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


def measure_meshes(motion: BodyMotion, body: BodyModel) -> MeshMetrics:
    """Measured on the fine query body of `body`; the meshes are made some frames at a time."""
    mesh = watertight_body(body)
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


def _empty(num_frames: int, num_pairs: int) -> MeshMetrics:
    count = len(PART_NAMES)
    return MeshMetrics(
        np.full((num_frames, num_pairs, count, count), np.nan, np.float32),
        *(np.full((num_frames, num_pairs), np.nan) for _ in range(4)),
    )
