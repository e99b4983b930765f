"""`closemesh.load`: a finished result folder as an object whose parts are read when they are first used."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from closemesh.body.loading import load_body
from closemesh.body.model import BodyModel
from closemesh.body.motion import motion_in_world, stream_vertices
from closemesh.body.skeleton import JOINT_NAMES
from closemesh.core.arrays import Bools, Floats
from closemesh.core.foreign import expect_list, expect_mapping, expect_text, foreign_file
from closemesh.core.progress import Progress
from closemesh.interchange.export import ExportOptions, export_result
from closemesh.output.people import PersonMotion, camera_motion, read_people
from closemesh.output.result_json import read_contacts, scene_camera
from closemesh.pipeline.cache import load_saved_motion, reading_result, require_finished
from closemesh.results.render import MotionName, RenderOptions, View, render_result
from closemesh.structures import BodyMotion, Camera, Clip, PairContacts
from closemesh.video.video_files import Image, read_video

Frame = Literal["world", "camera"]

_OVERLAY = "overlay.mp4"
_IMAGE_HEIGHT = 360  # Pixels, in a notebook.


def load(out: str | Path) -> Result:
    """The finished result in the folder `out`, which `reconstruct` wrote.

    Raises InputError when there is none, or it is damaged, and OutputError while another process writes it.
    """
    folder = Path(out)
    require_finished(folder)
    with reading_result(folder) as scene:
        return Result(folder, scene)


@dataclass(frozen=True, repr=False)
class Result:
    """A result folder. Each file is read when it is first used and stays in memory; nothing is changed.

    Every attribute raises InputError when its file is missing or damaged. Frames t count processed frames from 0.
    """

    folder: Path
    scene: Mapping[str, Any]
    """The values of scene.json, as docs/output.md lists them."""

    @cached_property
    def people(self) -> tuple[Person, ...]:
        """The people, `people[0]` from people/person_00.npz."""
        return tuple(Person(self, index, motion) for index, motion in enumerate(self._records))

    @cached_property
    def times(self) -> Floats:
        """[T] seconds of the frames from the first frame of the clip."""
        return np.asarray(self._records[0].times)

    @cached_property
    def camera(self) -> Camera:
        """The camera of the clip: `K` [3, 3] and `T_cam_world` [T, 4, 4]."""
        return scene_camera(dict(self.scene))

    @cached_property
    def contacts(self) -> tuple[PairContacts, ...]:
        """Distance, depth and contact intervals of each pair in the result, from contacts.json."""
        return read_contacts(self.folder / "contacts.json")[1]

    @cached_property
    def body(self) -> BodyModel:
        """The body that the betas belong to. Raises ModelFileError when its file is missing."""
        return load_body(self.scene["config"].get("body_model"))

    @property
    def faces(self) -> np.ndarray:
        """[F, 3] vertices of each triangle of a person's mesh."""
        return self.body.faces.cpu().numpy()

    @property
    def quality(self) -> Mapping[str, Mapping[str, float]]:
        """Reprojection error, jitter, penetration and number of contacts of each motion."""
        return expect_mapping(self.folder / "scene.json", "quality", self.scene.get("quality"))

    @property
    def notes(self) -> tuple[str, ...]:
        """Fallbacks and doubts, one sentence each."""
        file = self.folder / "scene.json"
        notes = expect_list(file, "notes", self.scene.get("notes", ()))
        return tuple(expect_text(file, "a note", note) for note in notes)

    @cached_property
    def motion(self) -> BodyMotion:
        """Motion of all people in the camera frame: the parameters of the body."""
        with foreign_file(self.folder / "people", advice="run `closemesh reconstruct` again"):
            return camera_motion(list(self._records), self.camera, self.body)

    def stage(self, name: MotionName) -> BodyMotion:
        """The motion `initial`, `refined` or `optimised` in the camera frame, from the cache in stages/."""
        return load_saved_motion(self.folder, name).motion

    def render(
        self,
        view: View = "overlay",
        file: str | Path | None = None,
        options: RenderOptions = RenderOptions(),
        progress: Progress | None = None,
    ) -> Path:
        """Write a view of the result as `closemesh render` does; returns the video, image or folder of images.

        file: where to write; None for a name after the view, in the result folder. Raises InputError when an option or
        the clip is wrong, and OutputError when a foreign file would be replaced.
        """
        return render_result(self.folder, view, options, None if file is None else Path(file), progress)

    def export(
        self,
        to: str | Sequence[str],
        folder: str | Path | None = None,
        options: ExportOptions = ExportOptions(),
        progress: Progress | None = None,
    ) -> list[Path]:
        """Write the result in formats of other programs, as `closemesh export --to` does; returns what was written.

        to: names such as "bvh". folder: of all files; None for exported/FORMAT in the result folder. Raises InputError
        when a format is unknown, and OutputError when a foreign file would be replaced.
        """
        formats = [to] if isinstance(to, str) else to
        return export_result(self.folder, formats, None if folder is None else Path(folder), options, progress)

    def overlay(self, t: int) -> Image | None:
        """Frame t of overlay.mp4, RGB [H, W, 3]; None when the result has no overlay."""
        file = self.folder / _OVERLAY
        if not file.is_file():
            return None
        _check_frame(t, len(self.times))
        width, height = self.camera.size
        size = width - width % 2, height - height % 2  # Of H.264.
        single = Clip(file, "", np.array([t]), self.times[t : t + 1], size, self.people[0].motion.mocap_frame_rate)
        return next(read_video(single), None)

    def closest_frame(self) -> int:
        """The middle of the frames in which two people are nearest; the middle of the clip without pairs."""
        distances = [pair.distance for pair in self.contacts if np.isfinite(pair.distance).any()]
        if not distances:
            return len(self.times) // 2
        nearest = np.nanmin(np.stack(distances), axis=0)  # [T]
        frames = np.flatnonzero(nearest == np.nanmin(nearest))
        return int(frames[len(frames) // 2])

    def __repr__(self) -> str:
        intervals = sum(len(pair.contacts) for pair in self.contacts)
        return (
            f"Result({str(self.folder)!r}: {len(self.people)} people, {len(self.times)} frames, "
            f"{self.times[-1] - self.times[0]:.1f} s, {intervals} contact intervals)"
        )

    def _repr_html_(self) -> str:
        """A frame of the overlay, and the number of people, frames and contacts, for notebooks."""
        t = self.closest_frame()
        image = self.overlay(t)
        parts = [f"<p><code>{escape(repr(self))}</code></p>"]
        if image is not None:
            title = f"frame {t}, {self.times[t]:.2f} s"
            parts.append(f'<img alt="{title}" title="{title}" src="data:image/jpeg;base64,{_jpeg(image)}">')
        return "".join([*parts, self._contact_table(), *(f"<p>{escape(note)}</p>" for note in self.notes)])

    def _contact_table(self) -> str:
        """The contact intervals as an HTML table; empty without any."""
        rows = [
            f"<tr><td>{contact.person_a}, {contact.person_b}</td>"
            f"<td>{escape(contact.part_a)} - {escape(contact.part_b)}</td>"
            f"<td>{self.times[contact.start]:.2f}-{self.times[contact.end]:.2f}</td>"
            f"<td>{1000 * contact.min_distance:.0f}</td><td>{1000 * contact.max_depth:.0f}</td></tr>"
            for pair in self.contacts
            for contact in pair.contacts
            if contact.end < len(self.times)
        ]
        head = "<tr><th>people</th><th>parts</th><th>seconds</th><th>distance, mm</th><th>depth, mm</th></tr>"
        return f"<table>{head}{''.join(rows)}</table>" if rows else ""

    @cached_property
    def _records(self) -> tuple[PersonMotion, ...]:
        return tuple(read_people(self.folder / "people"))


@dataclass(frozen=True, repr=False, eq=False)
class Person:
    """One person of a result."""

    result: Result
    index: int
    """Number in files, in contacts and in the color of images."""
    motion: PersonMotion
    """The content of the person file: poses, trans, betas, expression; world frame."""

    joint_names = JOINT_NAMES
    """Names of the 55 joints."""

    @property
    def valid(self) -> Bools:
        """[T] detected, or missing for a short time."""
        return np.asarray(self.motion.valid, dtype=bool)

    @property
    def confidence(self) -> Floats:
        """[T] 0..1, reliability of the pose."""
        return self.motion.confidence

    def joints(self, frame: Frame = "world") -> Floats:
        """Joint positions [T, 55, 3] in meters. Raises ValueError for another frame than world and camera."""
        joints_world = np.asarray(self.motion.joints)
        if _checked(frame) == "world":
            return joints_world
        T = self.result.camera.T_cam_world  # [T, 4, 4]
        return np.einsum("tij,tkj->tki", T[:, :3, :3], joints_world) + T[:, None, :3, 3]

    def vertices(self, t: int, frame: Frame = "world") -> Floats:
        """Mesh [V, 3] at frame t, meters; its triangles are `result.faces`.

        Raises IndexError when there is no frame t, and ValueError for another frame of reference.
        """
        result = self.result
        _check_frame(t, len(result.times))
        part = slice(t, t + 1)
        motion = result.motion.frames(part).people([self.index])
        if _checked(frame) == "world":
            motion = motion_in_world(motion, result.camera.frames(part), result.body)
        return next(stream_vertices(motion, result.body))[0]

    def __repr__(self) -> str:
        return f"Person({self.index}: valid in {int(self.valid.sum())} of {len(self.valid)} frames)"


def _checked(frame: str) -> str:
    if frame not in ("world", "camera"):
        raise ValueError(f"frame {frame!r} is not possible; give 'world' or 'camera'")
    return frame


def _check_frame(t: int, num_frames: int) -> None:
    if not 0 <= t < num_frames:
        raise IndexError(f"frame {t} is not in 0..{num_frames - 1}")


def _jpeg(image: Image) -> str:
    """An RGB image [H, W, 3] at the height of notebooks as base64."""
    height, width = image.shape[:2]
    scale = min(1.0, _IMAGE_HEIGHT / height)
    small = cv2.resize(image, (round(scale * width), round(scale * height)), interpolation=cv2.INTER_AREA)
    return base64.b64encode(cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1].tobytes()).decode()
