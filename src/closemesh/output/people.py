"""One .npz per person with the field names of AMASS and SMPL-X, in the world frame."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from closemesh.body.model import BodyModel
from closemesh.body.motion import motion_in_camera, motion_in_world, motion_joints
from closemesh.core.arrays import Bools, Floats, expect, expect_equal_lengths, read_result_npz
from closemesh.core.errors import InputError
from closemesh.core.foreign import expect_number, expect_text, foreign_file
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.motion_files.sequence import check_limits
from closemesh.structures import BodyMotion, Camera, Clip
from closemesh.temporal import nominal_rate

OPEN_TYPE = "closemesh_open"
LICENSED_TYPE = "smplx"
_CHUNK = 256


@dataclass(frozen=True)
class PersonMotion:
    """Content of a person file. Frame: world (y up). Meters, seconds, axis-angle in radians."""

    gender: str
    surface_model_type: str
    """`smplx` only for the licensed body: SMPL-X loaders must not use betas of the bundled body."""
    body_model: str
    body_model_sha256: str
    mocap_frame_rate: float
    betas: Floats  # [B]
    trans: Floats  # [T, 3] SMPL-X transl
    root_orient: Floats  # [T, 3]
    pose_body: Floats  # [T, 63]
    pose_hand: Floats  # [T, 90] left, then right
    pose_jaw: Floats  # [T, 3]
    pose_eye: Floats  # [T, 6] left, then right
    poses: Floats  # [T, 165] all of these in the order of the joints
    expression: Floats  # [T, E]
    valid: Bools  # [T]
    confidence: Floats  # [T] 0..1
    times: Floats  # [T] seconds of the clip
    joints: Floats  # [T, 55, 3]


_TEXTS = ("gender", "surface_model_type", "body_model", "body_model_sha256")
_SHAPES: dict[str, tuple[int | str, ...]] = {
    **{"betas": ("B",), "trans": ("T", 3), "root_orient": ("T", 3), "pose_body": ("T", 63), "pose_hand": ("T", 90)},
    **{"pose_jaw": ("T", 3), "pose_eye": ("T", 6), "poses": ("T", 165), "expression": ("T", "E"), "valid": ("T",)},
    **{"confidence": ("T",), "times": ("T",), "joints": ("T", 55, 3)},
}


def write_people(folder: Path, clip: Clip, camera: Camera, motion: BodyMotion, body: BodyModel) -> None:
    """Write `folder`/person_00.npz and so on from camera-frame motion. The folder is new or empty."""
    people = world_people(clip, camera, motion, body)
    folder.mkdir(parents=True, exist_ok=True)
    for index, person in enumerate(people):
        np.savez_compressed(folder / f"person_{index:02d}.npz", **asdict(person))


def world_people(clip: Clip, camera: Camera, motion: BodyMotion, body: BodyModel) -> list[PersonMotion]:
    """The records of the person files from camera-frame motion."""
    motion_world = motion_in_world(motion, camera, body)
    poses = _axis_angles(motion_world.rotations)  # [T, P, 165]
    joints = motion_joints(motion_world, body)
    return [
        PersonMotion(
            gender=body.gender,
            surface_model_type=OPEN_TYPE if body.is_bundled else LICENSED_TYPE,
            body_model=motion.body_model,
            body_model_sha256=body.sha256,
            mocap_frame_rate=nominal_rate(clip.fps),
            betas=motion.betas[p],
            trans=motion_world.transl[:, p],
            **_split_poses(poses[:, p]),
            expression=motion.expression[:, p],
            valid=motion.valid[:, p],
            confidence=motion.confidence[:, p],
            times=clip.times,
            joints=joints[:, p],
        )
        for p in range(motion.num_people)
    ]


def read_people(path: Path) -> list[PersonMotion]:
    """The people of a folder that write_people wrote, or the one person of a file.

    Raises InputError when there is no person file or when a file lacks a field.
    """
    files = [path] if path.is_file() else sorted(path.glob("person_*.npz"))
    if not files:
        raise InputError(f"no person_00.npz in {path}; give a folder that `closemesh reconstruct` wrote")
    people = []
    for file in files:
        with foreign_file(file, advice="run `closemesh reconstruct` again"):
            people.append(_read_person(file))
    return people


def camera_motion(people: list[PersonMotion], camera: Camera, body: BodyModel) -> BodyMotion:
    """The motion of all people in the camera frame.

    Raises InputError when they belong to another body or differ in length from the camera.
    """
    for person in people:
        if person.body_model_sha256 != body.sha256:
            raise InputError(f"the betas belong to the body {person.body_model}, not to {body.name}; load that body")
    if len({len(person.trans) for person in people} | {len(camera.T_cam_world)}) > 1:
        raise InputError("the person files differ in length from each other or from the camera; do not mix two results")
    axis_angle = torch.as_tensor(_stack(people, "poses"), dtype=torch.float64).unflatten(-1, (-1, 3))
    motion_world = BodyMotion(
        body_model=people[0].body_model,
        betas=np.stack([person.betas for person in people]),
        rotations=axis_angle_to_matrix(axis_angle).float().numpy(),
        transl=_stack(people, "trans"),
        expression=_stack(people, "expression"),
        valid=_stack(people, "valid"),
        confidence=_stack(people, "confidence"),
    )
    return motion_in_camera(motion_world, camera, body)


def _axis_angles(rotations: Floats) -> Floats:
    """[T, P, 165] float32 of rotations [T, P, 55, 3, 3], in chunks of frames to save memory."""
    parts = torch.as_tensor(rotations).split(_CHUNK)
    return np.concatenate([matrix_to_axis_angle(part.double()).flatten(-2).float().numpy() for part in parts])


def _split_poses(poses: Floats) -> dict[str, Floats]:
    """`poses` [T, 165] and its parts under their AMASS names."""
    return {
        "poses": poses,
        "root_orient": poses[:, :3],
        "pose_body": poses[:, 3:66],
        "pose_jaw": poses[:, 66:69],
        "pose_eye": poses[:, 69:75],
        "pose_hand": poses[:, 75:],
    }


def _read_person(path: Path) -> PersonMotion:
    arrays = read_result_npz(path)
    missing = [f.name for f in fields(PersonMotion) if f.name not in arrays]
    if missing:
        raise InputError(f"{path} is not a person file of closemesh: it has no {', '.join(missing)}")
    for name, shape in _SHAPES.items():
        expect(path, name, arrays[name], shape)
    expect_equal_lengths(path, **{name: arrays[name] for name, shape in _SHAPES.items() if shape[0] == "T"})
    check_limits(betas=arrays["betas"], pelvis=arrays["trans"], joints=arrays["joints"])
    rate = expect_number(path, "mocap_frame_rate", arrays["mocap_frame_rate"], 1e-6, 1e4)
    texts: dict[str, Any] = {name: expect_text(path, name, arrays[name]) for name in _TEXTS}
    values: dict[str, Any] = {name: arrays[name] for name in _SHAPES}
    return PersonMotion(mocap_frame_rate=rate, **texts, **values)


def _stack(people: list[PersonMotion], name: str) -> np.ndarray:
    return np.stack([getattr(person, name) for person in people], axis=1)
