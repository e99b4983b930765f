"""Films of made-up scenes that a person detector takes for films of people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from closemesh.body.loading import load_bundled_body
from closemesh.body.model import BodyModel
from closemesh.body.motion import rest_pelvis, stream_vertices
from closemesh.core.arrays import Bools, Floats
from closemesh.core.progress import Advance, Progress
from closemesh.geometry.mesh import face_incidence, vertex_normals
from closemesh.lab.simulation.clothing import Outfit, random_outfit, skirt_faces
from closemesh.lab.simulation.environment import paint_room
from closemesh.lab.simulation.scene import SimulatedScene
from closemesh.rendering.zbuffer import render_mesh
from closemesh.structures import Camera
from closemesh.video.video_files import Image, write_video

_CREASE = 0.03  # Metres: wave length of the creases in cloth.
_LEAST_SHUTTER = 0.2  # Of the time from frame to frame; a shorter exposure blurs nothing.
_SHADOW_SCALE = 4  # Shadows are drawn in a picture smaller by this, and are soft.


@dataclass(frozen=True)
class _Light:
    """The light of a place."""

    direction: Floats
    """[3] unit vector towards it, camera frame."""
    direction_world: Floats
    strength: float
    ambient: float
    colour: Floats
    """[3] of the strong light."""


def render_film(scene: SimulatedScene, path: Path, seed: int, progress: Progress) -> None:
    """Write `path` (MP4): the people of the scene in random clothes, light and surroundings. Raises OutputError."""
    with progress.task("film", len(scene.clip)) as advance:
        write_video(_counted(film_frames(scene, seed), advance), path, scene.clip.times)


def _counted(pictures: Iterator[Image], advance: Advance) -> Iterator[Image]:
    for picture in pictures:
        yield picture
        advance(1)


def film_frames(scene: SimulatedScene, seed: int) -> Iterator[Image]:
    """RGB pictures [H, W, 3], one for each frame."""
    rng = np.random.default_rng(seed)
    # All variants of the open body share their betas; its full mesh has a face.
    body = load_bundled_body("std") if scene.body.is_bundled else scene.body
    painter = _Painter(scene, body, rng)
    blur, noise, gain, shutter = rng.uniform(0, 0.9), rng.uniform(0.5, 4.0), rng.uniform(0.8, 1.15), rng.uniform(0, 0.7)
    before = None
    for vertices, present in zip(stream_vertices(scene.motion, body), scene.motion.valid, strict=True):
        moved = shutter * (vertices - before) if before is not None and shutter > _LEAST_SHUTTER else None
        picture, before = painter.paint_blurred(vertices, moved, present), vertices
        if blur > 0.3:
            picture = cv2.GaussianBlur(picture, (0, 0), blur)
        grain = noise * rng.standard_normal((*picture.shape[:2], 1), dtype=np.float32)
        yield (picture * np.float32(gain) + grain).clip(0, 255).astype(np.uint8)


class _Painter:
    """Paints one frame after the other."""

    def __init__(self, scene: SimulatedScene, body: BodyModel, rng: np.random.Generator) -> None:
        self._camera = scene.camera
        self._faces = body.faces.cpu().numpy().astype(np.int32)
        self._incidence = face_incidence(self._faces, len(body.v_template))
        self._skirt_faces = skirt_faces()
        self._skirt_incidence = face_incidence(self._skirt_faces, int(self._skirt_faces.max()) + 1)
        self._outfits = [random_outfit(body, rng) for _ in range(scene.motion.num_people)]
        self._creases = [_creases(body, outfit, rng) for outfit in self._outfits]
        self._light = _random_light(scene.camera, rng)
        self._room = 255 * paint_room(scene.camera, _places(scene, body), rng).astype(np.float32)
        self._shadow = rng.uniform(0.3, 0.75), rng.uniform(0.003, 0.012)

    def paint_blurred(self, vertices_cam: Floats, moved: Floats | None, present: Bools) -> Floats:
        """What an exposure shows during which vertices [P, V, 3] move by `moved`, half of it before; present [P]."""
        if moved is None:
            return self.paint(vertices_cam, present).astype(np.float32)
        moments = [self.paint(vertices_cam + share * moved, present) for share in (-0.5, -0.17, 0.17, 0.5)]
        return np.stack(moments).mean(0, dtype=np.float32)

    def paint(self, vertices_cam: Floats, present: Bools) -> Image:
        """One moment."""
        vertices, faces, colours = [], [], []
        for p in np.flatnonzero(present):
            normals = vertex_normals(vertices_cam[p], self._faces, self._incidence)
            outfit = self._outfits[p]
            vertices.append(vertices_cam[p] + outfit.thickness[:, None] * normals)
            colours.append(self._lit(normals + self._creases[p], outfit.colours))
            faces.append(self._faces)
            if outfit.skirt is not None:
                vertices.append(outfit.skirt.drape(vertices_cam[p]))
                normals = vertex_normals(vertices[-1], self._skirt_faces, self._skirt_incidence)
                colours.append(self._lit(normals, outfit.skirt.colours))
                faces.append(self._skirt_faces)
        if not vertices:
            return self._room.astype(np.uint8)
        starts = np.cumsum([0, *(len(part) for part in vertices[:-1])])
        points, corners = np.concatenate(vertices), np.concatenate([f + s for f, s in zip(faces, starts, strict=True)])
        picture = (self._room * self._shade_on_floor(points, corners)).astype(np.uint8)
        camera = self._camera
        return render_mesh(picture, points, corners, np.concatenate(colours), camera.focal, camera.principal_point)

    def _lit(self, normals: Floats, colours: Floats) -> Floats:
        """[V, 3] 0..255."""
        normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
        light = self._light
        from_above = normals @ self._camera.up[0]
        strong = light.strength * np.clip(normals @ light.direction, 0, None)[:, None] * light.colour
        return (255 * colours * (light.ambient * (1 + 0.35 * from_above[:, None]) + strong)).clip(0, 255)

    def _shade_on_floor(self, vertices_cam: Floats, faces: np.ndarray) -> Floats:
        """[H, W, 1] factor by which the shadow of everybody darkens what lies under it."""
        depth, softness = self._shadow
        height, width = self._room.shape[:2]
        on_floor = _along_light(vertices_cam, self._camera, self._light.direction_world)
        small = np.zeros((height // _SHADOW_SCALE, width // _SHADOW_SCALE, 3), np.uint8)
        white = np.full((len(on_floor), 3), 255.0)
        focal, centre = (np.asarray(x) / _SHADOW_SCALE for x in (self._camera.focal, self._camera.principal_point))
        mask = render_mesh(small, on_floor, faces, white, float(focal), (float(centre[0]), float(centre[1])))[..., 0]
        mask = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), softness * width / _SHADOW_SCALE)
        return (1 - depth / 255 * cv2.resize(mask, (width, height)))[..., None]


def _along_light(vertices_cam: Floats, camera: Camera, direction_world: Floats) -> Floats:
    """Where the light throws the shadow of each vertex [N, 3] on the floor, camera frame."""
    R, t = camera.T_cam_world[0, :3, :3], camera.T_cam_world[0, :3, 3]
    world = (vertices_cam - t) @ R
    fallen = world - (world[:, 1] / direction_world[1])[:, None] * direction_world
    return fallen @ R.T + t


def _random_light(camera: Camera, rng: np.random.Generator) -> _Light:
    """From above, from any side."""
    azimuth, elevation = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 1.4)
    flat = np.cos(elevation)
    direction = np.array([flat * np.sin(azimuth), np.sin(elevation), flat * np.cos(azimuth)])
    strength = rng.uniform(0.25, 0.75)
    colour = 1 + rng.uniform(-0.1, 0.1) * np.array([1.0, 0.0, -1.0])
    R = camera.T_cam_world[0, :3, :3]
    return _Light(R @ direction, direction, strength, rng.uniform(0.45, 0.75), colour)


def _creases(body: BodyModel, outfit: Outfit, rng: np.random.Generator) -> Floats:
    """[V, 3] by which normals of cloth lean: waves across the zero pose."""
    places = body.v_template.cpu().numpy() / _CREASE
    waves = sum(np.sin(places @ rng.normal(0, 1 / n, (3, 3)) + rng.uniform(0, 6, 3)) for n in (1, 2, 4))
    return rng.uniform(0.03, 0.18) * np.asarray(waves) * outfit.cloth[:, None]


def _places(scene: SimulatedScene, body: BodyModel) -> Floats:
    """[N, 3] pelvis positions in the world."""
    pelvis_rest = rest_pelvis(body, torch.as_tensor(scene.motion.betas)).numpy()
    pelvis_cam = (scene.motion.transl + pelvis_rest)[scene.motion.valid]
    R, t = scene.camera.T_cam_world[0, :3, :3], scene.camera.T_cam_world[0, :3, 3]
    return (pelvis_cam - t) @ R
