"""Distances between the body parts of two people, contact scores against the truth, and mesh metrics of a motion."""

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

MAX_DISTANCE = 0.2  # Meters; parts farther from each other have the distance inf.
_PARTS = len(PART_NAMES)


@dataclass(frozen=True)
class PairGeometry:
    """Distances and penetration of two bodies in one frame."""

    part_distances: Floats
    """[22, 22] meters from each part of a to each part of b; 0 where they penetrate, inf beyond MAX_DISTANCE."""
    depths: Floats
    """[N] meters below the surface of the other body, of every vertex inside it."""


class PartMesh:
    """A watertight mesh with part labels, prepared once for many frames."""

    def __init__(self, body: BodyModel) -> None:
        """body: made by watertight_body."""
        self.faces = WatertightMesh(body.faces.cpu().numpy()).faces
        self._labels = part_labels(body).cpu().numpy()
        corner_labels = self._labels[self.faces]  # [F, 3]
        self._vertices_of = [np.flatnonzero(self._labels == part) for part in range(_PARTS)]
        # A face on the border belongs to both parts, so that there is no empty space between parts.
        self._faces_of = [self.faces[(corner_labels == part).any(-1)] for part in range(_PARTS)]

    def measure(self, a: Array, b: Array) -> PairGeometry:
        """Distances and depths between the vertices a [V, 3] and b [V, 3] of two people, meters."""
        distances = self._outer_distances(a, b)
        a_in_b, b_in_a = points_inside(a, b, self.faces), points_inside(b, a, self.faces)
        distances[self._labels[a_in_b.point], self._labels[a_in_b.nearest]] = 0
        distances[self._labels[b_in_a.nearest], self._labels[b_in_a.point]] = 0
        return PairGeometry(distances, np.concatenate([a_in_b.depth, b_in_a.depth]))

    def _outer_distances(self, a: Array, b: Array) -> Floats:
        """[22, 22] meters between the surfaces, without regard to penetration."""
        distances = np.full((_PARTS, _PARTS), np.inf)
        boxes_a, boxes_b = self._part_boxes(a), self._part_boxes(b)
        separation = np.maximum(boxes_a[0][:, None] - boxes_b[1], boxes_b[0] - boxes_a[1][:, None])  # [22, 22, 3]
        near = np.argwhere(np.linalg.norm(np.maximum(separation, 0), axis=-1) < MAX_DISTANCE)
        trees_a = {part: self._tree(a, part) for part in np.unique(near[:, 0])}
        trees_b = {part: self._tree(b, part) for part in np.unique(near[:, 1])}
        for i, j in near:
            a_to_b = _distance(a[self._vertices_of[i]], trees_b[j], MAX_DISTANCE)
            b_to_a = _distance(b[self._vertices_of[j]], trees_a[i], min(a_to_b, MAX_DISTANCE))
            distances[i, j] = min(a_to_b, b_to_a)
        return distances

    def _part_boxes(self, vertices: Array) -> tuple[Floats, Floats]:
        """Lower and upper corners [22, 3]."""
        parts = [vertices[ids] for ids in self._vertices_of]
        return np.stack([part.min(0) for part in parts]), np.stack([part.max(0) for part in parts])

    def _tree(self, vertices: Array, part: int) -> AabbTree:
        return build_aabb_tree(vertices, self._faces_of[part])


def _distance(points: Array, tree: AabbTree, max_distance: float) -> float:
    """From the nearest of the points [N, 3] to the faces of the tree; inf beyond max_distance."""
    separation = np.maximum(np.maximum(tree.boxes[1, :3] - points, points - tree.boxes[1, 3:]), 0)
    squared = (separation * separation).sum(-1)
    near = np.flatnonzero(squared < max_distance * max_distance)
    # Points near the box first: their distance bounds the search of the others.
    near = near[np.argsort(squared[near])]
    return float(smallest_distance(points[near], tree.boxes, tree.starts, tree.corners, max_distance))


def precision(predicted: Floats, truth: Floats, threshold: float) -> Floats:
    """Fraction [...] of the predicted contacts that are true; nan without any.

    Distances of parts: predicted [..., 22, 22], truth [..., 22, 22] meters. Contact is below `threshold` meters.
    """
    both, predicted_count, _ = _counts(predicted, truth, threshold)
    return _ratio(both, predicted_count)


def recall(predicted: Floats, truth: Floats, threshold: float) -> Floats:
    """Fraction [...] of the true contacts that are predicted; nan without any.

    Distances of parts: predicted [..., 22, 22], truth [..., 22, 22] meters. Contact is below `threshold` meters.
    """
    both, _, true_count = _counts(predicted, truth, threshold)
    return _ratio(both, true_count)


def f1(predicted: Floats, truth: Floats, threshold: float) -> Floats:
    """Harmonic mean [...] of precision and recall; 0 where no contact is right, nan where neither has contact.

    Distances of parts: predicted [..., 22, 22], truth [..., 22, 22] meters.
    """
    both, predicted_count, true_count = _counts(predicted, truth, threshold)
    return _ratio(2 * both, predicted_count + true_count)


def pcc(predicted: Floats, truth: Floats, radius: float, threshold: float) -> Floats:
    """Percentage of correct contact points (BUDDI), as a fraction [...].

    Distances of parts: predicted [..., 22, 22], truth [..., 22, 22] meters.
    Of the true contacts (nearer than `threshold` meters), those whose predicted distance is below `radius` meters. Over
    the 22 parts of contact.body_parts, not over the 75 regions of FlickrCI3D. nan without true contacts.
    """
    touch = _known(predicted, truth, truth < threshold)
    return _ratio((touch * (predicted < radius)).sum((-2, -1)), touch.sum((-2, -1)))


def nearest(distances: Floats) -> Floats:
    """Smallest of the part distances [..., 22, 22], [...] meters; inf beyond MAX_DISTANCE."""
    return distances.min((-2, -1))


def _counts(predicted: Floats, truth: Floats, threshold: float) -> tuple[Floats, Floats, Floats]:
    """Numbers of contacts [...] in both, in the prediction, in the truth."""
    contacts, true_contacts = (_known(predicted, truth, d < threshold) for d in (predicted, truth))
    both = contacts * true_contacts
    return both.sum((-2, -1)), contacts.sum((-2, -1)), true_contacts.sum((-2, -1))


def _known(predicted: Floats, truth: Floats, touch: np.ndarray) -> Floats:
    return np.where(np.isnan(predicted) | np.isnan(truth), np.nan, touch)


def _ratio(part: Floats, whole: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


@dataclass(frozen=True)
class MeshMetrics:
    """Mesh metrics of every pair of person_pairs in every frame; nan where one of the two is not valid."""

    part_distances: Floats
    """[T, pairs, 22, 22] meters; 0 where parts penetrate, inf beyond MAX_DISTANCE."""
    depth_max: Floats
    """[T, pairs] mm, deepest vertex of either inside the other; 0 without penetration."""
    depth_mean: Floats
    """[T, pairs] mm, mean over the vertices of either inside the other; 0 without penetration."""
    volume: Floats
    """[T, pairs] cubic centimeters inside both."""
    a_pd: Floats
    """[T, pairs] mm."""

    @property
    def distance(self) -> Floats:
        """[T, pairs] meters between the surfaces; 0 where they penetrate, inf beyond MAX_DISTANCE."""
        return nearest(self.part_distances)


def measure_meshes(motion: BodyMotion, body: BodyModel) -> MeshMetrics:
    """The mesh metrics of all pairs, on the watertight version of `body`."""
    mesh = watertight_body(body)
    parts = PartMesh(mesh)
    pairs = person_pairs(motion.num_people)
    metrics = _empty(len(motion.transl), len(pairs))
    for first, vertices in posed_chunks(motion, mesh) if pairs else ():
        for column, (a, b) in enumerate(pairs):
            both = np.flatnonzero(motion.valid[first : first + len(vertices), [a, b]].all(-1))
            found = map_frames(lambda t, v=vertices, a=a, b=b: _measure(parts, v[t, a], v[t, b]), both)
            for t, values in zip(first + both, found, strict=True):
                for array, value in zip(vars(metrics).values(), values, strict=True):
                    array[t, column] = value
    return metrics


def _measure(parts: PartMesh, a: Array, b: Array) -> tuple[Floats, float, float, float, float]:
    """The fields of MeshMetrics, of one pair in one frame."""
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
