"""CHI3D (Fieraru et al. 2020): two people in contact, SMPL-X, four cameras.

Layout of one subject, from imar_vision_datasets_tools: `train/sXX/` with smplx/<action>.json,
joints3d_25/<action>.json, camera_parameters/<camera>/<action>.json, videos/<camera>/<action>.mp4 and
interaction_contact_signature.json. Person 0 wears markers, person 1 does not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from closemesh.body.model import BodyModel
from closemesh.core.arrays import Floats, expect, expect_equal_lengths
from closemesh.core.errors import InputError
from closemesh.core.foreign import expect_mapping, foreign_reader, read_json_file
from closemesh.geometry.rotations import matrix_to_axis_angle
from closemesh.lab.datasets.recording import DatasetCamera, Recording, extrinsics, rotation_to_y_up
from closemesh.motion_files.sequence import MotionSequence, check_rotations
from closemesh.motion_files.smpl_parameters import SmplParameters, merge_people, smpl_sequence

FPS = 50.0
_PARTS = {  # For each part of the pose: keys of the file and their number of joints.
    "root_orient": (("global_orient", 1),),
    "pose_body": (("body_pose", 21),),
    "pose_jaw": (("jaw_pose", 1),),
    "pose_eye": (("leye_pose", 1), ("reye_pose", 1)),
    "pose_hand": (("left_hand_pose", 15), ("right_hand_pose", 15)),
}
_PELVIS25, _NECK25 = 0, 8


def is_chi3d(folder: Path) -> bool:
    """Whether a folder is a subject of CHI3D."""
    return (folder / "smplx").is_dir() and (folder / "joints3d_25").is_dir()


def chi3d_recordings(root: Path) -> list[Path]:
    """smplx/<action>.json of every subject below `root`, by name."""
    return sorted(file for file in root.rglob("smplx/*.json") if is_chi3d(file.parent.parent))


@foreign_reader
def read_chi3d(path: Path, body: BodyModel | None = None) -> Recording:
    """The recording of a smplx/<action>.json, its world rotated to y up by `rotation_to_y_up`.

    The pelvis is exact with an SMPL-X body, else see `smpl_rest_pelvis`. `keypoints` are joints3d_25 [T, P, 25, 3].
    Raises InputError with the file and the key at fault.
    """
    subject, action = path.parent.parent, path.stem
    joints_path = subject / "joints3d_25" / path.name
    joints = _stack(joints_path, _read_json(joints_path), "joints3d_25", ("P", "T", 25, 3))
    R_world_file = rotation_to_y_up(joints[:, :, _NECK25] - joints[:, :, _PELVIS25])
    data = _read_json(path)
    people = [_person(path, data, p, R_world_file, body) for p in range(len(joints))]
    sequence = merge_people(people, f"{subject.name}_{action}")
    if joints.shape[1] != len(sequence):
        raise InputError(f"{path} has {len(sequence)} frames, {joints_path} has {joints.shape[1]}; get them again")
    return Recording(
        sequence=sequence,
        cameras=tuple(_cameras(subject, action, len(sequence), R_world_file)),
        contact_frames=_contact_frames(subject, action, len(sequence)),
        keypoints=np.swapaxes(joints, 0, 1) @ R_world_file.T,
    )


def _person(path: Path, data: dict[str, Any], p: int, R_world_file: Floats, body: BodyModel | None) -> MotionSequence:
    transl = _of_person(path, data, p, "transl", (3,))
    parts = {}
    for name, keys in _PARTS.items():
        if all(key in data for key, _ in keys):
            turns = [check_rotations(key, _of_person(path, data, p, key, (count, 3, 3))) for key, count in keys]
            parts[name] = matrix_to_axis_angle(torch.as_tensor(np.concatenate(turns, axis=1))).flatten(1).numpy()
    missing = {"root_orient", "pose_body"} - set(parts)
    if missing:
        raise InputError(f"{path} has no global_orient or no body_pose; get it again")
    expect_equal_lengths(path, transl=transl, **parts)
    betas = _of_person(path, data, p, "betas", ("B",))[0]
    parameters = SmplParameters("smplx", "neutral", transl, parts, betas=betas)
    return smpl_sequence("", FPS, parameters, R_world_file, body)


def _cameras(subject: Path, action: str, frames: int, R_world_file: Floats) -> list[DatasetCamera]:
    """The cameras of all folders; distortion k1, k2, p1, p2, k3 of the formula of CHI3D. Raises InputError."""
    cameras = []
    for path in sorted((subject / "camera_parameters").glob(f"*/{action}.json")):
        data = _read_json(path)
        try:
            camera_pose = expect_mapping(path, "extrinsics", data["extrinsics"])
            intrinsics = expect_mapping(path, "intrinsics_w_distortion", data["intrinsics_w_distortion"])
        except KeyError as error:
            raise InputError(f"{path} has no {error.args[0]}; get it again") from error
        R = _stack(path, camera_pose, "R", (3, 3))
        T = _stack(path, camera_pose, "T", (1, 3))[0]
        f, c = (_stack(path, intrinsics, key, (1, 2))[0] for key in ("f", "c"))
        k, p = _stack(path, intrinsics, "k", (1, 3))[0], _stack(path, intrinsics, "p", (1, 2))[0]
        cameras.append(
            DatasetCamera(
                name=path.parent.name,
                K=np.array([[f[0], 0, c[0]], [0, f[1], c[1]], [0, 0, 1]]),
                distortion=np.array([k[0], k[1], p[0], p[1], k[2]]),
                T_cam_world=extrinsics(R, -R @ T, R_world_file),
                clip=subject / "videos" / path.parent.name / f"{action}.mp4",
                clip_frames=np.arange(frames),
            )
        )
    return cameras


def _contact_frames(subject: Path, action: str, frames: int) -> np.ndarray:
    """The annotated frame of contact [N]; empty without annotation. Raises InputError."""
    path = subject / "interaction_contact_signature.json"
    annotation = expect_mapping(path, action, _read_json(path).get(action, {})) if path.is_file() else {}
    chosen = expect(path, "fr_id", np.atleast_1d(np.asarray(annotation.get("fr_id", np.zeros(0)))), ("N",))
    chosen = np.clip(chosen, -1, 2**31).astype(np.int64)
    if (chosen < 0).any() or (chosen >= frames).any():
        raise InputError(f"{path}: fr_id of {action} is {chosen.tolist()}, but the recording has {frames} frames")
    return chosen


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; unpack all of the subject's annotations")
    return expect_mapping(path, "the file", read_json_file(path, "get it again"))


def _of_person(path: Path, data: dict[str, Any], p: int, key: str, shape: tuple[int | str, ...]) -> Floats:
    """[T, ...] of one person, at least one frame. Raises InputError."""
    array = _stack(path, data, key, ("P", "T", *shape))
    if not p < len(array) or not array.shape[1]:
        raise InputError(f"{path}: {key} has {len(array)} people and {array.shape[1]} frames; get it again")
    return array[p]


def _stack(path: Path, data: dict[str, Any], key: str, shape: tuple[int | str, ...]) -> Floats:
    if key not in data:
        raise InputError(f"{path} has no {key}; get it again")
    try:
        array = np.array(data[key], dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: {key} is no array of numbers ({error})") from error
    return expect(path, key, array, shape)
