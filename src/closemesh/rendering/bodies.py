"""Rendered bodies: shading, overlay on the frames of a clip, side and top views."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from closemesh.body.model import BodyModel
from closemesh.body.motion import change_frame, motion_in_world, motion_joints, stream_vertices
from closemesh.core.arrays import Bools, Floats
from closemesh.core.errors import InputError
from closemesh.core.progress import Advance, Progress
from closemesh.geometry.mesh import face_incidence, vertex_normals
from closemesh.rendering.viewpoints import draw_floor, view_camera
from closemesh.rendering.zbuffer import render_mesh
from closemesh.structures import BodyMotion, Camera, Clip
from closemesh.video.video_files import Image, write_image, write_video

View = Literal["overlay", "side", "top"]
OVERLAY_OPACITY = 0.8

# Okabe and Ito 2008: distinct for every kind of color vision; neighbors in the list differ most.
PERSON_COLORS: tuple[tuple[int, int, int], ...] = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
)

# Directions towards the lights in camera axes (x right, y down, z forward), and their strengths.
_LIGHTS = np.array([[-0.45, -0.65, -0.61], [0.70, -0.20, -0.68], [0.0, -1.0, 0.0]], dtype=np.float32)
_STRENGTHS = np.array([0.62, 0.18, 0.12], dtype=np.float32)
_AMBIENT = 0.30

_MIN_CONFIDENCE = 0.3  # Confidence of a keypoint that is drawn.


def person_color(person: int) -> tuple[int, int, int]:
    """RGB 0..255 of a person, the same in every image of a result."""
    return PERSON_COLORS[person % len(PERSON_COLORS)]


def shade(normals_cam: Floats, color: tuple[int, int, int]) -> Floats:
    """Colors [V, 3] in 0..255 of a diffuse surface with normals_cam [V, 3] in camera axes, lit from above and aside."""
    directions = _LIGHTS / np.linalg.norm(_LIGHTS, axis=-1, keepdims=True)
    light = _AMBIENT + (normals_cam @ directions.T).clip(min=0) @ _STRENGTHS  # [V]
    return (light[:, None] * np.asarray(color, dtype=np.float32)).clip(0, 255)


class BodyRenderer:
    """Renders people with the mesh of one body model, each in one color."""

    def __init__(self, body: BodyModel, num_people: int) -> None:
        self._faces = body.faces.cpu().numpy().astype(np.int32)
        self._incidence = face_incidence(self._faces, len(body.v_template))
        offsets = len(body.v_template) * np.arange(num_people, dtype=np.int32)
        self._all_faces = (self._faces + offsets[:, None, None]).reshape(-1, 3)  # [P * F, 3]

    def render(self, image: Image, vertices_cam: Floats, present: Bools, camera: Camera, opacity: float = 1.0) -> Image:
        """A copy of `image` [H, W, 3] with the present people over it; nearer surfaces occlude farther ones.

        vertices_cam [P, V, 3] meters, camera frame; present [P].
        """
        people = np.flatnonzero(present)
        if len(people) == 0:
            return image
        colors = [
            shade(vertex_normals(vertices_cam[p], self._faces, self._incidence), person_color(int(p))) for p in people
        ]
        return render_mesh(
            image,
            np.concatenate(vertices_cam[people]),
            self._all_faces[: len(people) * len(self._faces)],
            np.concatenate(colors),
            camera.focal,
            camera.principal_point,
            opacity,
        )


def render_overlay(
    frames: Iterable[Image],
    clip: Clip,
    camera: Camera,
    motion: BodyMotion,
    body: BodyModel,
    path: Path,
    progress: Progress,
) -> None:
    """Write an MP4 to `path`: the RGB frames of the clip with the bodies over them.

    A clip of one frame is written as PNG beside it too. Raises OutputError when a file cannot be written.
    """
    with progress.task("overlay", len(clip)) as advance:
        images = _counted(render_view("overlay", clip, camera, motion, body, frames), advance)
        if len(clip) == 1:
            images = list(images)
            write_image(images[0], path.with_suffix(".png"))
        write_video(images, path, clip.times)


def render_view(
    view: View,
    clip: Clip,
    camera: Camera,
    motion: BodyMotion,
    body: BodyModel,
    frames: Iterable[Image] | None = None,
    size: tuple[int, int] = (1280, 720),
    keypoints: Floats | None = None,
) -> Iterator[Image]:
    """RGB images [H, W, 3], one for each frame of the clip, from camera-frame motion.

    `overlay` renders over the RGB `frames` of the clip at their size, with a dot for each keypoint if keypoints
    [T, P, 133, 3] (x, y, confidence) are given. `side` and `top` show the world from a static camera that has all
    people in view, with the floor as a grid; size: width and height in pixels. Raises InputError when `overlay` has no
    frames.
    """
    if view == "overlay":
        if frames is None:
            raise InputError("an overlay needs the frames of the clip; give the video file")
        images = _overlay(frames, camera, motion, body)
        return images if keypoints is None else map(_draw_keypoints, images, keypoints)
    return _world_view(view, clip, camera, motion, body, size)


def _overlay(frames: Iterable[Image], camera: Camera, motion: BodyMotion, body: BodyModel) -> Iterator[Image]:
    renderer = BodyRenderer(body, motion.num_people)
    meshes = stream_vertices(motion, body)
    for frame, vertices_cam, present in zip(frames, meshes, motion.valid, strict=True):
        yield renderer.render(frame, vertices_cam, present, camera, OVERLAY_OPACITY)


def _world_view(
    view: Literal["side", "top"],
    clip: Clip,
    camera: Camera,
    motion: BodyMotion,
    body: BodyModel,
    size: tuple[int, int],
) -> Iterator[Image]:
    motion_world = motion_in_world(motion, camera, body)
    points_world = motion_joints(motion_world, body)[motion.valid].reshape(-1, 3)
    observer = view_camera(view, camera, points_world, size)
    background = draw_floor(observer, points_world)
    motion_view = change_frame(motion_world, observer.T_cam_world[0], body)
    renderer = BodyRenderer(body, motion.num_people)
    for index, vertices in enumerate(stream_vertices(motion_view, body)):
        image = renderer.render(background, vertices, motion.valid[index], observer)
        if len(clip) > 1:
            image = _label(image, f"frame {clip.frame_indices[index]}   {clip.times[index]:.2f} s")
        yield image


def _draw_keypoints(image: Image, keypoints: Floats) -> Image:
    """A copy of `image` with a dot for each detected keypoint [P, 133, 3], in the color of the person."""
    image = image.copy()
    radius = max(2, round(image.shape[0] / 360))
    for person, points in enumerate(keypoints):
        for x, y, _ in points[points[:, 2] > _MIN_CONFIDENCE]:
            position = (round(float(x)), round(float(y)))
            cv2.circle(image, position, radius + 1, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(image, position, radius, person_color(person), -1, cv2.LINE_AA)
    return image


def _label(image: Image, text: str) -> Image:
    scale = image.shape[0] / 1080
    position = (round(30 * scale), round(image.shape[0] - 30 * scale))
    thickness = max(1, round(2 * scale))
    return cv2.putText(
        image.copy(), text, position, cv2.FONT_HERSHEY_SIMPLEX, scale, (70, 70, 70), thickness, cv2.LINE_AA
    )


def _counted(images: Iterator[Image], advance: Advance) -> Iterator[Image]:
    for image in images:
        yield image
        advance(1)
