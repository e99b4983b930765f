"""The two people of the known scene in different clothing: training views and label images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from known_scenes import KnownScene

from closemesh.avatars.views import TrainingView, ViewConfig, extract_views
from closemesh.body.motion import stream_vertices
from closemesh.core.arrays import Floats
from closemesh.geometry.mesh import vertex_normals
from closemesh.lab.simulation.clothing import random_clothing
from closemesh.rendering.shading import shade
from closemesh.rendering.zbuffer import render_mesh
from closemesh.structures import BodyMotion

SIDE = 96


@dataclass(frozen=True)
class DressedPeople:
    scene: KnownScene
    views: list[TrainingView]
    """One for each frame."""


def dress(known: KnownScene, seed: int = 4, same: bool = False) -> DressedPeople:
    """Views of the people in every frame, shaded, on a dark background; `same`: in one uniform color."""
    rng = np.random.default_rng(seed)
    clothing = [random_clothing(known.body, rng).colors for _ in range(known.motion.num_people)]
    clothing = [np.full_like(one, 0.6) for one in clothing] if same else clothing
    images, labels = [], []
    for vertices in stream_vertices(known.motion, known.body):
        colors = [_lit(known, vertices[p], clothing[p]) for p in range(len(vertices))]
        images.append(_painted(known, vertices, colors, 40))
        labels.append(labels_of(known, vertices))
    frames = list(range(len(images)))
    config = ViewConfig(size=SIDE)
    views = extract_views(enumerate(images), lambda frame: labels[frame], frames, known.camera, config)
    return DressedPeople(known, views)


def labels_of(known: KnownScene, vertices: Floats) -> np.ndarray:
    """[H, W] 0 background, p + 1 where person p is in front; vertices [P, V, 3]."""
    flat = [np.tile(255.0 * np.eye(3)[p], (vertices.shape[1], 1)) for p in range(len(vertices))]
    coverage = _painted(known, vertices, flat, 0)  # One channel per person.
    return np.where(coverage.sum(-1) > 127, coverage.argmax(-1) + 1, 0).astype(np.uint8)


def moved(motion: BodyMotion, person: int, by: tuple[float, float, float]) -> BodyMotion:
    """The motion with one person translated; meters, camera frame."""
    transl = motion.transl.copy()
    transl[:, person] += np.asarray(by, transl.dtype)
    return motion.with_pose(transl=transl)


def _lit(known: KnownScene, vertices: Floats, colors: Floats) -> Floats:
    faces = known.body.faces.numpy()
    normals = vertex_normals(vertices, faces)
    return shade(normals, (255, 255, 255)) * colors


def _painted(known: KnownScene, vertices: Floats, colors: list[Floats], background: int) -> np.ndarray:
    count, width, height = vertices.shape[1], *known.camera.size
    faces = np.concatenate([known.body.faces.numpy() + p * count for p in range(len(vertices))])
    image = np.full((height, width, 3), background, np.uint8)
    points = vertices.reshape(-1, 3)
    return render_mesh(image, points, faces, np.concatenate(colors), known.camera.focal, known.camera.principal_point)
