"""Meshes with known answers, and a slow second way to the closest point and its sign."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import trimesh

Reference = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def _closest_on_segments(p: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    ab = b - a
    fraction = (((p - a) * ab).sum(-1) / (ab * ab).sum(-1)).clip(0, 1)
    return np.linalg.norm(p - a - fraction[..., None] * ab, axis=-1)


def _distance_and_inside(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance by brute force over planes and edges, inside by the generalised winding number (Jacobson 2013)."""
    a, b, c = vertices[faces].transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    distance, inside = [], []
    for p in points:
        height = ((p - a) * normal).sum(1)
        foot = p - height[:, None] * normal
        over = np.ones(len(faces), dtype=bool)
        for start, end in ((a, b), (b, c), (c, a)):
            over &= (np.cross(end - start, foot - start) * normal).sum(1) >= 0
        edges = np.minimum.reduce([_closest_on_segments(p, s, e) for s, e in ((a, b), (b, c), (c, a))])
        distance.append(np.where(over, np.abs(height), edges).min())
        u, v, w = a - p, b - p, c - p
        lu, lv, lw = (np.linalg.norm(x, axis=1) for x in (u, v, w))
        numerator = (u * np.cross(v, w)).sum(1)
        denominator = lu * lv * lw + (u * v).sum(1) * lw + (v * w).sum(1) * lu + (w * u).sum(1) * lv
        inside.append(np.arctan2(numerator, denominator).sum() / (2 * np.pi) > 0.5)
    return np.array(distance), np.array(inside)


@pytest.fixture(scope="session")
def brute_force() -> Reference:
    return _distance_and_inside


@pytest.fixture(scope="session")
def sphere() -> tuple[np.ndarray, np.ndarray]:
    """A unit sphere, every vertex on it: vertices [2562, 3] and faces."""
    mesh = trimesh.creation.icosphere(subdivisions=4)
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)


@pytest.fixture(scope="session")
def star() -> tuple[np.ndarray, np.ndarray]:
    """A closed mesh full of sharp ridges and pits, where a face normal alone gets the sign wrong."""
    mesh = trimesh.creation.icosphere(subdivisions=2)
    radius = np.random.default_rng(0).uniform(0.4, 1.0, len(mesh.vertices))
    return np.asarray(mesh.vertices) * radius[:, None], np.asarray(mesh.faces)
