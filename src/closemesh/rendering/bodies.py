"""Rendered people: over the frames of a clip, or from another viewpoint on the floor of the world."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Literal, Protocol

import cv2
import numpy as np

from closemesh.body.model import BodyModel
from closemesh.body.motion import change_frame, motion_in_world, motion_joints, stream_vertices
from closemesh.core.arrays import Bools, Floats
from closemesh.core.errors import InputError
from closemesh.core.progress import Advance, Progress
from closemesh.rendering.captions import draw_caption, draw_legend
from closemesh.rendering.floor import GRID_STEP, draw_floor, draw_shadow, vertex_areas
from closemesh.rendering.shading import SurfaceColors, VertexColors, person_color, shade_mesh
from closemesh.rendering.viewpoints import scale_camera, turntable_camera, view_camera
from closemesh.rendering.zbuffer import render_mesh
from closemesh.structures import BodyMotion, Camera, Clip
from closemesh.video.video_files import Image, write_image, write_video

Viewpoint = Literal["overlay", "side", "top", "turntable"]
OVERLAY_OPACITY = 0.8
SEEN_THROUGH = 0.6
"""Opacity of what is inside another body."""
STILL_SECONDS, STILL_FPS = 6.0, 25.0
"""Duration and rate of a turn around one frame."""
_WORLD_SIZE = (1280, 720)
_WORLD_OPACITY = 1.0


@dataclass(frozen=True)
class ViewOptions:
    """How a result is seen."""

    people: tuple[int, ...] | None = None
    """Who is rendered; None for all."""
    size: tuple[int, int | None] | None = None
    """Width and height in pixels. An overlay has the shape of the clip and fits into it; without a height it follows
    from the width. None for the size of the clip, and 1280 by 720 elsewhere."""
    shadow: bool = False
    """A shadow on the floor in overlays; other views always have one."""
    turn_seconds: float | None = None
    """Time of a turn of `turntable`; None for one over the clip. A shorter clip is repeated until the turn is done."""


class Renderer(Protocol):
    """Renders the present people over an image: their meshes or their avatars."""

    body: BodyModel
    """Body of the vertices that it takes."""

    def render(self, image: Image, vertices_cam: Floats, present: Bools, camera: Camera) -> Image: ...


@dataclass(frozen=True)
class Scene:
    """What is rendered: the motion of a clip in the camera frame."""

    clip: Clip
    camera: Camera
    motion: BodyMotion
    body: BodyModel
    colors: SurfaceColors | None = None
    """None for one color per person."""
    avatars: Renderer | None = None
    """Renders the people in place of their meshes."""

    def repeated(self, seconds: float | None) -> Scene:
        """The same scene, whose clip starts again until at least `seconds` have passed; colors are left out.

        One frame is shown for STILL_SECONDS by default.
        """
        still = len(self.clip) == 1
        step = 1 / STILL_FPS if still else 1 / self.clip.fps
        times = self.clip.times - self.clip.times[0]
        loop = float(times[-1]) + step
        rounds = max(1, int(np.ceil((seconds or (STILL_SECONDS if still else loop)) / loop - 1e-6)))
        frames = np.tile(np.arange(len(times)), rounds)
        all_times = (loop * np.arange(rounds)[:, None] + times).ravel()
        if seconds and rounds > 1:
            frames, all_times = frames[all_times < seconds], all_times[all_times < seconds]
        indices = self.clip.frame_indices[frames]
        clip = replace(self.clip, frame_indices=indices, times=all_times, fps=1 / step if still else self.clip.fps)
        return replace(
            self, clip=clip, camera=self.camera.frames(frames), motion=self.motion.frames(frames), colors=None
        )


class BodyRenderer:
    """Renders people with the mesh of one body model."""

    def __init__(self, body: BodyModel, num_people: int, opacity: float = 1.0) -> None:
        self.body = body
        self._faces = body.faces.cpu().numpy().astype(np.int32)
        offsets = len(body.v_template) * np.arange(num_people, dtype=np.int32)
        self._all_faces = (self._faces + offsets[:, None, None]).reshape(-1, 3)  # [P * F, 3]
        colors = np.array([person_color(person) for person in range(num_people)], np.float32).reshape(-1, 1, 3)
        self._colors = np.broadcast_to(colors, (num_people, len(body.v_template), 3))
        self._opacity = opacity

    def render(
        self,
        image: Image,
        vertices_cam: Floats,
        present: Bools,
        camera: Camera,
        colors: VertexColors | None = None,
    ) -> Image:
        """A copy of `image` [H, W, 3] with the present people over it; nearer surfaces occlude farther ones.

        vertices_cam [P, V, 3] meters, camera frame; present [P]; colors: None for one per person.
        """
        people = np.flatnonzero(present)
        if len(people) == 0:
            return image.copy()
        base = self._colors if colors is None else colors.base
        shaded = np.concatenate([shade_mesh(vertices_cam[p], self._faces, base[p]) for p in people])
        points, faces = np.concatenate(vertices_cam[people]), self._all_faces[: len(people) * len(self._faces)]
        image = render_mesh(image, points, faces, shaded, camera.focal, camera.principal_point, self._opacity)
        if colors is None or colors.seen_through is None or not colors.seen_through[people].any():
            return image
        inner = faces[np.concatenate(colors.seen_through[people])[faces].all(-1)]
        return render_mesh(image, points, inner, shaded, camera.focal, camera.principal_point, SEEN_THROUGH)


def render_overlay(frames: Iterable[Image], scene: Scene, path: Path, progress: Progress) -> None:
    """Write an MP4 to `path`: the RGB frames of the clip with the bodies over them.

    A clip of one frame is written as PNG beside it too. Raises OutputError when a file cannot be written.
    """
    clip = scene.clip
    with progress.task("overlay", len(clip)) as advance:
        images = counted(render_view("overlay", scene, frames), advance)
        if len(clip) == 1:
            images = list(images)
            write_image(images[0], path.with_suffix(".png"))
        write_video(images, path, clip.times)


def render_view(
    view: Viewpoint, scene: Scene, frames: Iterable[Image] | None = None, options: ViewOptions = ViewOptions()
) -> Iterator[Image]:
    """RGB images [H, W, 3], one for each frame of the scene.

    `overlay` renders over the RGB `frames` of the clip, at most at their size. The others show the world from a camera
    that has all people in view, with the floor as a grid: it stands still at the `side` or the `top`, or goes once
    around them, which is a `turntable`. Raises InputError when `overlay` has no frames.
    """
    if view == "overlay":
        if frames is None:
            raise InputError("an overlay needs the frames of the clip; give the video file")
        return _overlay(scene, frames, options)
    return _world_view(view, scene, options)


def view_size(view: Viewpoint, clip: Clip, size: tuple[int, int | None] | None) -> tuple[int, int]:
    """Width and height in pixels of the images of a view, for ViewOptions.size."""
    if size is None:
        return clip.size if view == "overlay" else _WORLD_SIZE
    width, height = size
    if view != "overlay":
        return width, height or max(2, round(width * _WORLD_SIZE[1] / _WORLD_SIZE[0] / 2) * 2)
    factor = min(width / clip.size[0], (height or np.inf) / clip.size[1])
    return tuple(max(2, round(factor * side / 2) * 2) for side in clip.size)  # type: ignore[return-value]


def _overlay(scene: Scene, frames: Iterable[Image], options: ViewOptions) -> Iterator[Image]:
    size = view_size("overlay", scene.clip, options.size)
    camera = scale_camera(scene.camera, size)
    meshes = _Meshes(scene, scene.motion, camera, options, OVERLAY_OPACITY)
    for index, frame in enumerate(frames):
        yield meshes.draw(resize(frame, size), index, options.shadow)


def resize(image: Image, size: tuple[int, int]) -> Image:
    """The image [H, W, 3] at another size: width and height in pixels."""
    if image.shape[1::-1] == size:
        return image
    shrinks = size[0] < image.shape[1]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC), np.uint8)


def _world_view(view: Literal["side", "top", "turntable"], scene: Scene, options: ViewOptions) -> Iterator[Image]:
    clip, motion_world = scene.clip, motion_in_world(scene.motion, scene.camera, scene.body)
    points_world = motion_joints(motion_world, scene.body)[shown_people(scene.motion, options.people)].reshape(-1, 3)
    size = view_size(view, clip, options.size)
    if view == "turntable":
        observer = turntable_camera(scene.camera, points_world, size, turns_of(clip, options.turn_seconds))
        backgrounds = (draw_floor(observer, points_world, frame) for frame in range(len(clip)))
    else:
        observer = view_camera(view, scene.camera, points_world, size)
        backgrounds = repeat(draw_floor(observer, points_world), len(clip))
    motion_view = change_frame(motion_world, observer.T_cam_world, scene.body)
    meshes = _Meshes(scene, motion_view, observer, options, _WORLD_OPACITY)
    for index, background in enumerate(backgrounds):
        image = meshes.draw(background, index, with_shadow=True)
        now = f"frame {clip.frame_indices[index]}   {clip.times[index]:.2f} s" if len(clip) > 1 else ""
        draw_caption(image, now, f"grid {GRID_STEP} m")
        yield image


def turns_of(clip: Clip, turn_seconds: float | None) -> Floats:
    """Turns [T] of the turntable at each frame: one over the clip, or one in `turn_seconds`."""
    seconds = clip.times - clip.times[0]
    return seconds / (turn_seconds or float(seconds[-1]) + 1 / clip.fps)


def shown_people(motion: BodyMotion, people: tuple[int, ...] | None) -> Bools:
    """Who is rendered [T, P]: valid, and one of `people` unless it is None."""
    chosen = np.ones(motion.num_people, bool) if people is None else np.isin(np.arange(motion.num_people), people)
    return motion.valid & chosen


class _Meshes:
    """The people of a scene, frame after frame, in the frame of an observer."""

    def __init__(
        self, scene: Scene, motion_view: BodyMotion, observer: Camera, options: ViewOptions, opacity: float
    ) -> None:
        self._renderer = scene.avatars or BodyRenderer(scene.body, motion_view.num_people, opacity)
        self._vertices = stream_vertices(motion_view, self._renderer.body)
        body = self._renderer.body
        self._areas = vertex_areas(body.v_template.cpu().numpy(), body.faces.cpu().numpy())
        self._colors = iter(scene.colors.frames) if scene.colors else None
        self._legend = scene.colors.legend if scene.colors else ()
        self._shown = shown_people(motion_view, options.people)
        self._observer = observer

    def draw(self, background: Image, index: int, with_shadow: bool) -> Image:
        """The image of the next frame, which has this index, over a background [H, W, 3]."""
        vertices, present, camera = next(self._vertices), self._shown[index], self._observer
        if with_shadow:
            T = camera.T_cam_world[min(index, len(camera.T_cam_world) - 1)]
            vertices_world = (vertices[present] - T[:3, 3]) @ T[:3, :3]
            background = draw_shadow(background, camera, vertices_world, self._areas, index)
        if self._colors is not None and isinstance(self._renderer, BodyRenderer):
            image = self._renderer.render(background, vertices, present, camera, next(self._colors))
        else:
            image = self._renderer.render(background, vertices, present, camera)
        draw_legend(image, self._legend)
        return image


def counted(images: Iterable[Image], advance: Advance) -> Iterator[Image]:
    """The images; `advance` is called after each."""
    for image in images:
        yield image
        advance(1)
