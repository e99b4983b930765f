"""Rendered videos of simulated scenes, realistic enough for a person detector."""

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
from closemesh.lab.simulation.clothing import Clothing, random_clothing, skirt_faces
from closemesh.lab.simulation.environment import render_environment
from closemesh.lab.simulation.scene import SimulatedScene
from closemesh.rendering.zbuffer import render_mesh
from closemesh.structures import Camera
from closemesh.video.video_files import Image, write_video

_CREASE = 0.03  # Meters: wavelength of the creases in cloth.
_MIN_SHUTTER = 0.2  # Fraction of the time from frame to frame; a shorter exposure has no motion blur.
_MIN_BLUR = 0.3  # Pixels.
_SHADOW_SCALE = 4  # Shadows are drawn in an image smaller by this factor, and are soft.


@dataclass(frozen=True)
class _Light:
    """Directional and ambient light of a scene."""

    direction: Floats
    """[3] unit vector towards the light, camera frame."""
    direction_world: Floats
    """[3] the same, world frame."""
    strength: float
    ambient: float
    color: Floats
    """[3] of the directional light."""


def render_video(scene: SimulatedScene, path: Path, seed: int, progress: Progress) -> None:
    """Write `path` (MP4): the people of the scene with random clothing, light and environment.

    Raises OutputError when the file cannot be written.
    """
    with progress.task("video", len(scene.clip)) as advance:
        write_video(_counted(render_frames(scene, seed), advance), path, scene.clip.times)


def _counted(images: Iterator[Image], advance: Advance) -> Iterator[Image]:
    for image in images:
        yield image
        advance(1)


def render_frames(scene: SimulatedScene, seed: int) -> Iterator[Image]:
    """RGB images [H, W, 3], one for each frame."""
    rng = np.random.default_rng(seed)
    # All variants of the bundled body have the same betas; its full mesh has a face.
    body = load_bundled_body("std") if scene.body.is_bundled else scene.body
    renderer = _FrameRenderer(scene, body, rng)
    blur, noise, gain, shutter = rng.uniform(0, 0.9), rng.uniform(0.5, 4.0), rng.uniform(0.8, 1.15), rng.uniform(0, 0.7)
    before = None
    for vertices, present in zip(stream_vertices(scene.motion, body), scene.motion.valid, strict=True):
        moved = shutter * (vertices - before) if before is not None and shutter > _MIN_SHUTTER else None
        image, before = renderer.render_exposure(vertices, moved, present), vertices
        if blur > _MIN_BLUR:
            image = cv2.GaussianBlur(image, (0, 0), blur)
        grain = noise * rng.standard_normal((*image.shape[:2], 1), dtype=np.float32)
        yield (image * np.float32(gain) + grain).clip(0, 255).astype(np.uint8)


class _FrameRenderer:
    """Renders the frames of one scene."""

    def __init__(self, scene: SimulatedScene, body: BodyModel, rng: np.random.Generator) -> None:
        self._camera = scene.camera
        self._faces = body.faces.cpu().numpy().astype(np.int32)
        self._incidence = face_incidence(self._faces, len(body.v_template))
        self._skirt_faces = skirt_faces()
        self._skirt_incidence = face_incidence(self._skirt_faces, int(self._skirt_faces.max()) + 1)
        self._clothing = [random_clothing(body, rng) for _ in range(scene.motion.num_people)]
        self._creases = [_creases(body, clothing, rng) for clothing in self._clothing]
        self._light = _random_light(scene.camera, rng)
        environment = render_environment(scene.camera, _pelvis_world(scene, body), rng)
        self._background = 255 * environment.astype(np.float32)
        self._shadow = rng.uniform(0.3, 0.75), rng.uniform(0.003, 0.012)

    def render_exposure(self, vertices_cam: Floats, moved: Floats | None, present: Bools) -> Floats:
        """[H, W, 3] with motion blur: vertices [P, V, 3] move by `moved` during the exposure; present [P]."""
        if moved is None:
            return self.render(vertices_cam, present).astype(np.float32)
        moments = [self.render(vertices_cam + offset * moved, present) for offset in (-0.5, -0.17, 0.17, 0.5)]
        return np.stack(moments).mean(0, dtype=np.float32)

    def render(self, vertices_cam: Floats, present: Bools) -> Image:
        """[H, W, 3] for vertices [P, V, 3] of one moment; present [P]."""
        vertices, faces, colors = [], [], []
        for p in np.flatnonzero(present):
            normals = vertex_normals(vertices_cam[p], self._faces, self._incidence)
            clothing = self._clothing[p]
            vertices.append(vertices_cam[p] + clothing.thickness[:, None] * normals)
            colors.append(self._shade(normals + self._creases[p], clothing.colors))
            faces.append(self._faces)
            if clothing.skirt is not None:
                vertices.append(clothing.skirt.drape(vertices_cam[p]))
                normals = vertex_normals(vertices[-1], self._skirt_faces, self._skirt_incidence)
                colors.append(self._shade(normals, clothing.skirt.colors))
                faces.append(self._skirt_faces)
        if not vertices:
            return self._background.astype(np.uint8)
        starts = np.cumsum([0, *(len(part) for part in vertices[:-1])])
        points, corners = np.concatenate(vertices), np.concatenate([f + s for f, s in zip(faces, starts, strict=True)])
        image = (self._background * self._shadow_factor(points, corners)).astype(np.uint8)
        camera = self._camera
        return render_mesh(image, points, corners, np.concatenate(colors), camera.focal, camera.principal_point)

    def _shade(self, normals: Floats, colors: Floats) -> Floats:
        """[V, 3] 0..255."""
        normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
        light = self._light
        from_above = normals @ self._camera.up[0]
        directional = light.strength * np.clip(normals @ light.direction, 0, None)[:, None] * light.color
        return (255 * colors * (light.ambient * (1 + 0.35 * from_above[:, None]) + directional)).clip(0, 255)

    def _shadow_factor(self, vertices_cam: Floats, faces: np.ndarray) -> Floats:
        """[H, W, 1] factor of the shadows of all people on the background."""
        depth, softness = self._shadow
        height, width = self._background.shape[:2]
        on_floor = _project_along_light(vertices_cam, self._camera, self._light.direction_world)
        small = np.zeros((height // _SHADOW_SCALE, width // _SHADOW_SCALE, 3), np.uint8)
        white = np.full((len(on_floor), 3), 255.0)
        focal, (x, y) = self._camera.focal / _SHADOW_SCALE, self._camera.principal_point
        principal_point = x / _SHADOW_SCALE, y / _SHADOW_SCALE
        mask = render_mesh(small, on_floor, faces, white, focal, principal_point)[..., 0]
        mask = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), softness * width / _SHADOW_SCALE)
        return (1 - depth / 255 * cv2.resize(mask, (width, height)))[..., None]


def _project_along_light(vertices_cam: Floats, camera: Camera, direction_world: Floats) -> Floats:
    """[N, 3] shadow of each vertex [N, 3] on the floor, camera frame."""
    R, t = camera.T_cam_world[0, :3, :3], camera.T_cam_world[0, :3, 3]
    world = (vertices_cam - t) @ R
    on_floor = world - (world[:, 1] / direction_world[1])[:, None] * direction_world
    return on_floor @ R.T + t


def _random_light(camera: Camera, rng: np.random.Generator) -> _Light:
    """Light from above, from any side."""
    azimuth, elevation = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 1.4)
    horizontal = np.cos(elevation)
    direction = np.array([horizontal * np.sin(azimuth), np.sin(elevation), horizontal * np.cos(azimuth)])
    strength = rng.uniform(0.25, 0.75)
    color = 1 + rng.uniform(-0.1, 0.1) * np.array([1.0, 0.0, -1.0])
    R = camera.T_cam_world[0, :3, :3]
    return _Light(R @ direction, direction, strength, rng.uniform(0.45, 0.75), color)


def _creases(body: BodyModel, clothing: Clothing, rng: np.random.Generator) -> Floats:
    """[V, 3] offsets of the normals of cloth: waves across the rest pose."""
    positions = body.v_template.cpu().numpy() / _CREASE
    waves = sum(np.sin(positions @ rng.normal(0, 1 / n, (3, 3)) + rng.uniform(0, 6, 3)) for n in (1, 2, 4))
    return rng.uniform(0.03, 0.18) * np.asarray(waves) * clothing.cloth[:, None]


def _pelvis_world(scene: SimulatedScene, body: BodyModel) -> Floats:
    """[N, 3] pelvis positions of all people and frames, world frame."""
    pelvis_rest = rest_pelvis(body, torch.as_tensor(scene.motion.betas)).numpy()
    pelvis_cam = (scene.motion.transl + pelvis_rest)[scene.motion.valid]
    R, t = scene.camera.T_cam_world[0, :3, :3], scene.camera.T_cam_world[0, :3, 3]
    return (pelvis_cam - t) @ R
