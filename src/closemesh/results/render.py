"""Images of a finished result: what `closemesh render` writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat, tee
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np

from closemesh.avatars.saved import AvatarRenderer
from closemesh.body.loading import load_body
from closemesh.body.motion import motion_joints
from closemesh.core.errors import InputError, OutputError
from closemesh.core.output_folder import OutputFolder, require_new_file, require_separate
from closemesh.core.progress import NullProgress, Progress
from closemesh.pipeline.cache import (
    load_saved_appearance,
    load_saved_contacts,
    load_saved_motion,
    reading_result,
)
from closemesh.rendering.bodies import (
    Scene,
    ViewOptions,
    Viewpoint,
    counted,
    render_view,
    resize,
    shown_people,
    view_size,
)
from closemesh.rendering.captions import Panel, draw_panels
from closemesh.rendering.surface_colors import TOUCH_DISTANCE, contact_colors, depth_colors
from closemesh.structures import Clip, PairContacts
from closemesh.video import read_frames
from closemesh.video.video_files import Image, write_image, write_images, write_video

View = Literal["overlay", "side", "top", "turntable", "compare", "avatars", "depth"]
Coloring = Literal["people", "contact", "depth"]
MotionName = Literal["initial", "refined", "optimised"]
ImageFormat = Literal["mp4", "png"]

_SIDES = (16, 8192)  # Pixels.
_SHEET_WIDTH = 1920  # Pixels of a comparison.
_CROP_MARGIN = 0.15  # Of the people's extent, on every side of a comparison.
_PLAIN = 232  # Gray of the background of avatars.
_DIMMED = 0.55  # Brightness of the frame below depths.


@dataclass(frozen=True)
class RenderOptions(ViewOptions):
    """What of a result is rendered, and how it is written."""

    stage: MotionName = "optimised"
    """The motion; `compare` shows all."""
    color: Coloring = "people"
    """One color per person, or the distance to the other people, or the depth in the clip."""
    viewpoint: Viewpoint = "overlay"
    """From where avatars are seen; `overlay` is the camera of the clip."""
    clip: Path | None = None
    """The clip, if it was moved."""
    format: ImageFormat | None = None
    """A video or a folder of images; None for a video, and for an image of a photo."""
    overwrite: bool = False
    """Replace a file that closemesh did not write."""


def render_result(
    out: Path,
    view: View = "overlay",
    options: RenderOptions = RenderOptions(),
    destination: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a view of the result in the folder `out`; returns the video, image or folder of images.

    destination: where to write; None for a name after the view and its options in `out`. Raises InputError when the
    result, an option or the clip is wrong, and OutputError when a foreign file would be replaced.
    """
    saved = load_saved_motion(out, options.stage)
    _check_options(out, view, options, saved.motion.num_people)
    scene = Scene(saved.clip, saved.camera, saved.motion, load_body(saved.body_path))
    turns = "turntable" in (view, options.viewpoint)
    target = _target(out, view, options, destination, single=len(saved.clip) == 1 and not turns)
    target.check(out, options, options.clip or saved.clip.path)
    if turns:
        scene = scene.repeated(options.turn_seconds)
    images = _images(out, view, scene, options)
    with (progress or NullProgress()).task(f"render {view}", len(scene.clip)) as advance:
        target.write(counted(images, advance), scene.clip)
    return target.path


def _check_options(out: Path, view: View, options: RenderOptions, num_people: int) -> None:
    """Raises InputError for the first option that does not fit."""
    missing = [person for person in options.people or () if not 0 <= person < num_people]
    if missing or options.people == ():
        names = ", ".join(map(str, range(num_people)))
        raise InputError(
            f"{out} has no person {', '.join(map(str, missing)) or '(none given)'}; its people are {names}"
        )
    for side in options.size or ():
        if side is not None and not _SIDES[0] <= side <= _SIDES[1]:
            raise InputError(f"a size of {side} pixels is not possible; give {_SIDES[0]} to {_SIDES[1]}")
    if options.turn_seconds is not None and not 0.1 <= options.turn_seconds <= 3600:
        raise InputError(f"a turn of {options.turn_seconds:g} s is not possible; give 0.1 to 3600 seconds")
    if options.turn_seconds is not None and "turntable" not in (view, options.viewpoint):
        raise InputError(f"view {view} does not turn; leave out --seconds, or give --view turntable")
    if options.viewpoint != "overlay" and view != "avatars":
        raise InputError(f"only avatars are seen from elsewhere with --from; give --view {options.viewpoint}")
    if options.color != "people" and view in ("avatars", "depth"):
        raise InputError(f"view {view} has colors of its own; leave out --color")


def _images(out: Path, view: View, scene: Scene, options: RenderOptions) -> Iterator[Image]:
    """The images of the view. Raises InputError when the clip or avatars that it shows are not there."""
    if view == "compare":
        return _compare(out, scene, options)
    if view == "avatars":
        scene = replace(scene, avatars=_avatars(out, scene))
        width, height = view_size("overlay", scene.clip, options.size)
        plain = repeat(np.full((height, width, 3), _PLAIN, np.uint8), len(scene.clip))
        return render_view(options.viewpoint, scene, plain, options)
    if view == "depth":
        frames = map(_dimmed, _frames(scene.clip, options))
        return render_view("overlay", _colored(scene, "depth"), frames, options)
    frames = _frames(scene.clip, options) if view == "overlay" else None
    return render_view(view, _colored(scene, options.color), frames, options)


def _colored(scene: Scene, color: Coloring) -> Scene:
    if color == "people":
        return scene
    motion, body = scene.motion, scene.body
    colors = contact_colors(motion, body) if color == "contact" else depth_colors(motion, scene.camera, body)
    return replace(scene, colors=colors)


def _dimmed(frame: Image) -> Image:
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return np.repeat(np.asarray(cv2.convertScaleAbs(gray, alpha=_DIMMED), np.uint8)[..., None], 3, axis=2)


def _frames(clip: Clip, options: RenderOptions) -> Iterable[Image]:
    """The frames of the clip at its present path. Raises InputError when no file is there."""
    present = replace(clip, path=options.clip or clip.path)
    if not present.path.exists():
        raise InputError(f"{present.path}: the clip is no longer there; give its new path with --clip FILE")
    return read_frames(present)


def _avatars(out: Path, scene: Scene) -> AvatarRenderer:
    """Raises InputError when the result has none."""
    appearance = load_saved_appearance(out)
    if appearance is None or appearance.gaussians is None:
        with reading_result(out) as values:
            has_psnr = values.get("appearance") is not None
        reason = "an older version, which did not keep them" if has_psnr else "a run that fitted none, as preset fast"
        raise InputError(
            f"{out} has no avatars: it is of {reason}; repeat closemesh reconstruct with --preset balanced"
        )
    return AvatarRenderer(scene.body, appearance.gaussians, appearance.uv_side)


def _compare(out: Path, scene: Scene, options: RenderOptions) -> Iterator[Image]:
    """The input and the motions of all stages over it, cropped to the people, with their errors below."""
    motions, clip = get_args(MotionName), scene.clip
    scene, box = _cropped(scene, options)
    scenes = [replace(scene, motion=load_saved_motion(out, motion).motion) for motion in motions]
    columns = 2 if scene.clip.size[0] > scene.clip.size[1] else 4
    width, height = options.size or (_SHEET_WIDTH, None)
    options = replace(options, size=(max(2, width // columns), height and max(2, height * columns // 4)))
    size = view_size("overlay", scene.clip, options.size)
    frames = tee((resize(frame[box], size) for frame in _frames(clip, options)), 4)
    views = [
        render_view("overlay", _colored(one, options.color), own, options)
        for one, own in zip(scenes, frames[1:], strict=True)
    ]
    with reading_result(out) as values:
        errors = [_StageErrors(_quality(values, motion), load_saved_contacts(out, motion)) for motion in motions]
    for index, images in enumerate(zip(frames[0], *views, strict=True)):
        now = f"frame {scene.clip.frame_indices[index]}   {scene.clip.times[index]:.2f} s"
        panels = [Panel(images[0], "input", (now,))]
        for motion, image, stage in zip(motions, images[1:], errors, strict=True):
            panels.append(Panel(image, motion, stage.lines(index)))
        yield draw_panels(panels, columns)


def _cropped(scene: Scene, options: RenderOptions) -> tuple[Scene, tuple[slice, slice]]:
    """The scene for frames that are cut to the people, and the rows and columns of that part."""
    camera, (width, height) = scene.camera, scene.clip.size
    joints = motion_joints(scene.motion, scene.body)[shown_people(scene.motion, options.people)].reshape(-1, 3)
    joints = joints[joints[:, 2] > 0.1]
    if len(joints) == 0:
        return scene, (slice(None), slice(None))
    pixels = joints[:, :2] / joints[:, 2:] * camera.focal + camera.principal_point
    low, high = pixels.min(0), pixels.max(0)
    margin = _CROP_MARGIN * (high - low).max()
    left, top = np.floor((low - margin).clip(0, [width - 2, height - 2])).astype(int).tolist()
    right, bottom = np.ceil((high + margin).clip([left + 2, top + 2], [width, height])).astype(int).tolist()
    size = (right - left, bottom - top)
    x, y = camera.principal_point
    cropped = replace(camera, principal_point=(x - left, y - top), size=size)
    return replace(scene, camera=cropped, clip=replace(scene.clip, size=size)), (slice(top, bottom), slice(left, right))


def _quality(scene: Mapping[str, Any], motion: str) -> Mapping[str, float]:
    """The metrics of a motion in scene.json that have a value."""
    values = (scene.get("quality") or {}).get(motion) or {}
    return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}


@dataclass(frozen=True)
class _StageErrors:
    """What is measured of one motion."""

    quality: Mapping[str, float]
    contacts: Sequence[PairContacts]

    def lines(self, frame: int) -> tuple[str, ...]:
        """Lines of text, with the penetration in this frame."""
        lines = []
        if "penetration_max_mm" in self.quality:
            depths = [pair.depth[frame] for pair in self.contacts if np.isfinite(pair.depth[frame])]
            now = f"{1000 * max(depths, default=0.0):.0f} mm, " if self.contacts else ""
            lines.append(f"penetration {now}at most {self.quality['penetration_max_mm']:.0f} mm")
        if self.contacts:
            touching = np.any([pair.distance < TOUCH_DISTANCE for pair in self.contacts], axis=0)  # nan: not valid
            lines.append(f"contact in {touching.sum()} of {len(touching)} frames")
        if "jitter_m_s3" in self.quality:
            lines.append(f"jitter {self.quality['jitter_m_s3']:.0f} m/s^3")
        if "reprojection_median_px" in self.quality:
            lines.append(f"reprojection {self.quality['reprojection_median_px']:.1f} px")
        return tuple(lines)


@dataclass(frozen=True)
class _Target:
    """Where the images go."""

    path: Path
    kind: Literal["video", "image", "folder"]

    def check(self, out: Path, options: RenderOptions, clip: Path) -> None:
        """Raises OutputError when the images would replace foreign files or what is read."""
        if self.kind != "folder":
            require_new_file(self.path, options.overwrite, [clip])
            return
        require_separate(self.path, [clip] if clip.is_dir() else [], ())
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_dir()):
            raise OutputError(f"{self.path} is no folder; give a new folder with -o")
        output = OutputFolder(self.path)
        has_files = self.path.is_dir() and any(self.path.iterdir())
        if (self.path / "scene.json").exists() or (has_files and not output.has_own_files):
            raise OutputError(
                f"{self.path} has other files, and images are not mixed with them; give a new folder with -o"
            )
        output.require_free({path.name: "" for path in self.path.glob("[0-9]*.png")})

    def write(self, images: Iterator[Image], clip: Clip) -> None:
        """Write images to a place that was checked; a folder with a marker lists them, so that they are own."""
        if self.kind == "folder":
            output = OutputFolder(self.path)
            with output.staging() as staged:
                write_images(images, staged)
                output.publish(staged, [path.name for path in self.path.glob("[0-9]*.png")])
            return
        output = OutputFolder(self.path.parent)
        if output.has_own_files and (output.is_own(self.path.name) or not self.path.exists()):
            with output.staging() as staged:
                self._write_file(images, staged / self.path.name, clip)
                output.publish(staged)
        else:
            self._write_file(images, self.path, clip)

    def _write_file(self, images: Iterator[Image], path: Path, clip: Clip) -> None:
        if self.kind == "image":
            (image,) = images
            write_image(image, path)
        else:
            write_video(images, path, clip.times)


def _target(out: Path, view: View, options: RenderOptions, destination: Path | None, single: bool) -> _Target:
    """The place and kind of the images; `single` for one image."""
    single = single and (destination.suffix.lower() == ".png" if destination else options.format != "mp4")
    kind = "image" if single else "folder" if options.format == "png" else "video"
    if destination is not None:
        return _Target(destination, kind)
    parts = [view, options.stage if options.stage != "optimised" and view != "compare" else ""]
    parts += [options.viewpoint if options.viewpoint != "overlay" else ""]
    parts += [options.color if options.color != "people" else ""]
    parts += ["-".join(map(str, sorted(options.people))) if options.people else ""]
    suffix = {"image": ".png", "video": ".mp4", "folder": ""}[kind]
    return _Target(out / ("_".join(filter(None, parts)) + suffix), kind)
