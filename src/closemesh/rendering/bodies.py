"""Shading, overlay, views of a result.

Light on bodies: smooth normals, and the colour that each vertex shows.

Pictures of a result: the bodies over the film, from the side, from above.
"""

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
from closemesh.video.video_files import Image, write_video

# Okabe and Ito 2008: told apart with every kind of colour vision; neighbours in the list differ most.
PERSON_COLOURS: tuple[tuple[int, int, int], ...] = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
)

# Directions towards the lights in camera axes (x right, y down, z away), and their strengths.
_LIGHTS = np.array([[-0.45, -0.65, -0.61], [0.70, -0.20, -0.68], [0.0, -1.0, 0.0]], dtype=np.float32)
_STRENGTHS = np.array([0.62, 0.18, 0.12], dtype=np.float32)
_AMBIENT = 0.30


def person_colour(person: int) -> tuple[int, int, int]:
    """RGB 0..255 of a person, the same in every picture of a result."""
    return PERSON_COLOURS[person % len(PERSON_COLOURS)]


def shade(normals_cam: Floats, colour: tuple[int, int, int]) -> Floats:
    """Colours [V, 3] in 0..255 of a matt surface with these normals in camera axes, lit from above and both sides."""
    directions = _LIGHTS / np.linalg.norm(_LIGHTS, axis=-1, keepdims=True)
    light = _AMBIENT + (normals_cam @ directions.T).clip(min=0) @ _STRENGTHS  # [V]
    return (light[:, None] * np.asarray(colour, dtype=np.float32)).clip(0, 255)


View = Literal["overlay", "side", "top"]
OVERLAY_OPACITY = 0.8
_SEEN = 0.3  # Confidence of a keypoint that is worth a dot.


def render_overlay(
    frames: Iterable[Image],
    clip: Clip,
    camera: Camera,
    motion: BodyMotion,
    body: BodyModel,
    path: Path,
    progress: Progress,
) -> None:
    """Write `path` (MP4): the RGB frames of the clip with the bodies over them. Raises OutputError."""
    with progress.task("overlay", len(clip)) as advance:
        pictures = render_view("overlay", clip, camera, motion, body, frames)
        write_video(_counted(pictures, advance), path, clip.times)


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
    """RGB pictures [H, W, 3], one for each frame of the clip, from camera-frame motion.

    `overlay` draws over the RGB `frames` of the clip at their size; `side` and `top` show the world in `size` (width,
    height) from a place where everybody stays in the picture, with the floor as a grid. `keypoints` [T, P, 133, 3]
    of Observations are dotted over an overlay. Raises InputError when `overlay` has no frames.
    """
    if view == "overlay":
        if frames is None:
            raise InputError("an overlay needs the frames of the clip; give the video file")
        pictures = _overlay(frames, camera, motion, body)
        return pictures if keypoints is None else map(_dot, pictures, keypoints)
    return _from_elsewhere(view, clip, camera, motion, body, size)


class BodyRenderer:
    """Draws people who share a body's faces, each in the own colour."""

    def __init__(self, body: BodyModel, num_people: int) -> None:
        self._faces = body.faces.cpu().numpy().astype(np.int32)
        self._incidence = face_incidence(self._faces, len(body.v_template))
        offsets = len(body.v_template) * np.arange(num_people, dtype=np.int32)
        self._all_faces = (self._faces + offsets[:, None, None]).reshape(-1, 3)  # [P * F, 3]

    def paint(self, image: Image, vertices_cam: Floats, present: Bools, camera: Camera, opacity: float = 1.0) -> Image:
        """`image` with the people [P, V, 3] who are `present` [P] over it, the nearer hiding the farther."""
        people = np.flatnonzero(present)
        if len(people) == 0:
            return image
        colours = [
            shade(vertex_normals(vertices_cam[p], self._faces, self._incidence), person_colour(int(p))) for p in people
        ]
        return render_mesh(
            image,
            np.concatenate(vertices_cam[people]),
            self._all_faces[: len(people) * len(self._faces)],
            np.concatenate(colours),
            camera.focal,
            camera.principal_point,
            opacity,
        )


def _overlay(frames: Iterable[Image], camera: Camera, motion: BodyMotion, body: BodyModel) -> Iterator[Image]:
    painter = BodyRenderer(body, motion.num_people)
    meshes = stream_vertices(motion, body)
    for frame, vertices_cam, present in zip(frames, meshes, motion.valid, strict=True):
        yield painter.paint(frame, vertices_cam, present, camera, OVERLAY_OPACITY)


def _from_elsewhere(
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
    backdrop = draw_floor(observer, points_world)
    motion_view = change_frame(motion_world, observer.T_cam_world[0], body)
    painter = BodyRenderer(body, motion.num_people)
    for index, vertices in enumerate(stream_vertices(motion_view, body)):
        picture = painter.paint(backdrop, vertices, motion.valid[index], observer)
        yield _label(picture, f"frame {clip.frame_indices[index]}   {clip.times[index]:.2f} s")


def _dot(image: Image, keypoints: Floats) -> Image:
    """`image` with a small dot for each keypoint [P, 133, 3] that was seen, in the colour of its person."""
    image = image.copy()
    radius = max(2, round(image.shape[0] / 360))
    for person, points in enumerate(keypoints):
        for x, y, _ in points[points[:, 2] > _SEEN]:
            place = (round(float(x)), round(float(y)))
            cv2.circle(image, place, radius + 1, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(image, place, radius, person_colour(person), -1, cv2.LINE_AA)
    return image


def _label(image: Image, text: str) -> Image:
    scale = image.shape[0] / 1080
    place = (round(30 * scale), round(image.shape[0] - 30 * scale))
    return cv2.putText(
        image.copy(), text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (70, 70, 70), max(1, round(2 * scale)), cv2.LINE_AA
    )


def _counted(pictures: Iterator[Image], advance: Advance) -> Iterator[Image]:
    for picture in pictures:
        yield picture
        advance(1)
