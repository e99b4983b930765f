"""Motion to be compared, from a result folder, person files or any motion file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from closemesh.body.frames import change_frame, motion_in_world
from closemesh.body.load import load_body, load_open_body
from closemesh.body.model import BodyModel
from closemesh.errors import InputError
from closemesh.motion_data.fit_shape import fit_betas
from closemesh.motion_data.read import read_motion
from closemesh.motion_data.sequence import MotionSequence, put_on_body
from closemesh.output.people import OPEN_TYPE, PersonMotion, camera_motion, read_people
from closemesh.output.scene_file import read_scene, scene_camera
from closemesh.progress import Progress
from closemesh.records import load_arrays
from closemesh.scene import BodyMotion, Camera, Floats


@dataclass(frozen=True)
class MotionOnBody:
    """A motion with everything that is needed to pose its bodies."""

    motion: BodyMotion
    body: BodyModel
    times: Floats
    """[T] seconds."""
    camera: Camera | None
    """Given when the motion is in its frame; else the motion is in a world of its own."""

    def in_world(self) -> MotionOnBody:
        """The same in the world frame."""
        if self.camera is None:
            return self
        return replace(self, motion=motion_in_world(self.motion, self.camera, self.body), camera=None)

    def moved(self, T_new_old: Floats) -> MotionOnBody:
        """The same in another frame; T_new_old [4, 4]."""
        return replace(self, motion=change_frame(self.motion, T_new_old, self.body), camera=None)

    def frames(self, index: np.ndarray) -> MotionOnBody:
        """Some of the frames."""
        camera = replace(self.camera, T_cam_world=self.camera.T_cam_world[index]) if self.camera else None
        motion = _choose(self.motion, lambda array: array[index])
        return replace(self, motion=motion, times=self.times[index], camera=camera)

    def people(self, order: list[int]) -> MotionOnBody:
        """Some of the people, in this order."""
        motion = _choose(self.motion, lambda array: array[:, order])
        return replace(self, motion=replace(motion, betas=self.motion.betas[order]))


def read_sequence(path: Path, body_path: Path | None, progress: Progress) -> MotionOnBody:
    """The motion in `path`: a folder that `reconstruct` wrote, person files (one or a folder of them), a motion file.

    body_path: the licensed body, for files whose betas belong to it. Raises InputError, ModelFileError.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; give a result folder, a person file or a motion file")
    if (path / "scene.json").is_file():
        camera = scene_camera(read_scene(path / "scene.json"))
        return _from_people(read_people(path / "people"), camera, body_path, keep_camera=True)
    if any(path.glob("person_*.npz")) or "body_model_sha256" in _keys(path):
        people = read_people(path)
        return _from_people(people, _no_camera(len(people[0].trans)), body_path, keep_camera=False)
    sequence, body = read_motion(path), load_body(body_path)
    betas = fitting_betas(sequence, body)
    if betas is not None:
        progress.note(f"{path} has no shape of the body {body.name}: its people get the shape that fits their bones")
    elif sequence.body_model != body.name:
        progress.note(f"{path} has no shape of the body {body.name}: its people get the mean shape")
    return MotionOnBody(put_on_body(sequence, body, betas), body, sequence.times, None)


def fitting_betas(sequence: MotionSequence, body: BodyModel) -> Floats | None:
    """[P, B] shapes of `body` with bones as long as the sequence's; None when it has its own shape or no skeleton."""
    own = sequence.betas is not None and sequence.body_model == body.name
    unknown = sequence.rest_joints is None and sequence.joints is None
    return None if own or unknown else fit_betas(sequence, body)


def _choose(motion: BodyMotion, function: Callable[[np.ndarray], np.ndarray]) -> BodyMotion:
    names = ("rotations", "transl", "expression", "valid", "confidence")
    return motion.with_pose(**{name: function(getattr(motion, name)) for name in names})


def _keys(path: Path) -> set[str]:
    return set(load_arrays(path)) if path.suffix == ".npz" else set()


def _from_people(
    people: list[PersonMotion], camera: Camera, body_path: Path | None, *, keep_camera: bool
) -> MotionOnBody:
    body = _body_of(people[0], body_path)
    motion = camera_motion(people, camera, body)
    return MotionOnBody(motion, body, np.asarray(people[0].times), camera if keep_camera else None)


def _body_of(person: PersonMotion, body_path: Path | None) -> BodyModel:
    if person.surface_model_type != OPEN_TYPE:
        if body_path is None:
            raise InputError(f"the betas belong to the body {person.body_model}; give that file with --body-model")
        return load_body(body_path)
    variant = person.body_model.rpartition("/")[2]
    if variant not in ("std", "mid", "light", "closed"):
        if body_path is not None:  # A body of the user's in the open layout.
            return load_body(body_path)
        raise InputError(f"the betas belong to {person.body_model}, which this version of closemesh does not have")
    return load_open_body(variant)


def _no_camera(num_frames: int) -> Camera:
    """One that stands in the world's origin, so that its frame is the world's."""
    return Camera(1.0, (0.0, 0.0), (1, 1), "option", np.tile(np.eye(4), (num_frames, 1, 1)))
