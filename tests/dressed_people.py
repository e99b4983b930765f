"""The two people of the known scene in different clothes: pictures, who is where, and their meshes' masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from known_scenes import KnownScene

from closemesh.avatars.views import TrainingView, ViewConfig, extract_views
from closemesh.body.motion import stream_vertices
from closemesh.core.arrays import Floats
from closemesh.geometry.mesh import vertex_normals
from closemesh.lab.simulation.clothing import random_outfit
from closemesh.rendering.bodies import shade
from closemesh.rendering.zbuffer import render_mesh
from closemesh.structures import BodyMotion

SIDE = 96


@dataclass(frozen=True)
class DressedPeople:
    known: KnownScene
    pictures: list[TrainingView]
    """One for each frame."""


def dress(known: KnownScene, seed: int = 4, same: bool = False) -> DressedPeople:
    """Paint the people of every frame, shaded by the same light, over a dark room; `same`: in one colour all over."""
    rng = np.random.default_rng(seed)
    outfits = [random_outfit(known.body, rng).colours for _ in range(known.motion.num_people)]
    outfits = [np.full_like(outfit, 0.6) for outfit in outfits] if same else outfits
    images, labels = [], []
    for vertices in stream_vertices(known.motion, known.body):
        colours = [_lit(known, vertices[p], outfits[p]) for p in range(len(vertices))]
        images.append(_painted(known, vertices, colours, 40))
        labels.append(labels_of(known, vertices))
    frames = list(range(len(images)))
    config = ViewConfig(side=SIDE)
    pictures = extract_views(enumerate(images), lambda frame: labels[frame], frames, known.camera, config)
    return DressedPeople(known, pictures)


def labels_of(known: KnownScene, vertices: Floats) -> np.ndarray:
    """[H, W] 0 nobody, p + 1 the person whose mesh [P, V, 3] is in front."""
    flat = [np.tile(255.0 * np.eye(3)[p], (vertices.shape[1], 1)) for p in range(len(vertices))]
    shares = _painted(known, vertices, flat, 0)  # Each person in a channel of his own.
    return np.where(shares.sum(-1) > 127, shares.argmax(-1) + 1, 0).astype(np.uint8)


def moved(motion: BodyMotion, person: int, by: tuple[float, float, float]) -> BodyMotion:
    """The same motion, one person elsewhere; metres, camera frame."""
    transl = motion.transl.copy()
    transl[:, person] += np.asarray(by, transl.dtype)
    return motion.with_pose(transl=transl)


def _lit(known: KnownScene, vertices: Floats, colours: Floats) -> Floats:
    faces = known.body.faces.numpy()
    normals = vertex_normals(vertices, faces)
    return shade(normals, (255, 255, 255)) * colours


def _painted(known: KnownScene, vertices: Floats, colours: list[Floats], room: int) -> np.ndarray:
    count, width, height = vertices.shape[1], *known.camera.size
    faces = np.concatenate([known.body.faces.numpy() + p * count for p in range(len(vertices))])
    image = np.full((height, width, 3), room, np.uint8)
    points = vertices.reshape(-1, 3)
    return render_mesh(image, points, faces, np.concatenate(colours), known.camera.focal, known.camera.principal_point)
