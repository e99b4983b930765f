"""Recordings of data sets, true motion with cameras, and the motion .npz of closemesh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from closemesh.body.skeleton import PARENTS
from closemesh.core.arrays import Floats, expect, read_npz
from closemesh.core.errors import InputError
from closemesh.core.files import atomic_file
from closemesh.core.foreign import expect_number, expect_text, foreign_reader
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.motion_files.sequence import NUM_JOINTS, MotionSequence, body_rotations, checked_sequence
from closemesh.structures import NUM_BODY_JOINTS

_MAX_FOCAL, _MAX_METERS = 1e6, 1e6


@dataclass(frozen=True)
class DatasetCamera:
    """One camera of a recording, OpenCV axes."""

    name: str
    K: Floats
    """[3, 3] pixels."""
    distortion: Floats
    """[5] k1, k2, p1, p2, k3 of the data set; zeros when it has none."""
    T_cam_world: Floats
    """[4, 4], or [T, 4, 4] for a moving camera; `world` is that of the motion, y up."""
    clip: Path
    """The video, or the folder of images; it may be missing."""
    clip_frames: NDArray[np.int64]
    """[T] index in the clip of each frame of the motion."""

    def __post_init__(self) -> None:
        if not (0 < self.K[0, 0] < _MAX_FOCAL and 0 < self.K[1, 1] < _MAX_FOCAL):
            raise ValueError(f"the focal length of camera {self.name} is {self.K[0, 0]:g}, {self.K[1, 1]:g} pixels")
        if not (np.abs(self.T_cam_world) <= _MAX_METERS).all():
            raise ValueError(f"camera {self.name} is not within {_MAX_METERS:g} m")


@dataclass(frozen=True)
class Recording:
    """True motion and cameras of one recording."""

    sequence: MotionSequence
    cameras: tuple[DatasetCamera, ...]
    contact_frames: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """[N] frames of the motion annotated with contact."""
    keypoints: Floats | None = None
    """[T, P, K, 3] joints in the order of the data set, world, if it has more than those of `sequence`."""


def rotation_to_y_up(trunks: Floats) -> Floats:
    """R_world_file [3, 3] that rotates the world axis nearest to the mean of trunks [..., 3] to y.

    For data sets without a documented up axis; it fails for people who mostly lie on the floor.
    """
    mean = trunks.reshape(-1, 3).mean(0)
    axis = np.zeros(3)
    largest = np.abs(mean).argmax()
    axis[largest] = 1 if mean[largest] >= 0 else -1
    return Rotation.align_vectors(np.array([[0.0, 1.0, 0.0]]), axis[None])[0].as_matrix().round()


def extrinsics(R_cam_file: Floats, t_cam_file: Floats, R_world_file: Floats) -> Floats:
    """T_cam_world [..., 4, 4] of R_cam_file [..., 3, 3], t_cam_file [..., 3] in meters and R_world_file [3, 3]."""
    T = np.zeros((*R_cam_file.shape[:-2], 4, 4))
    T[..., :3, :3] = R_cam_file @ R_world_file.T
    T[..., :3, 3] = t_cam_file
    T[..., 3, 3] = 1
    return T


_REQUIRED = ("poses", "trans")
_OPTIONAL = (
    *("fps", "valid", "offsets", "betas", "body_model", "known", "hand_pose", "action", "synthetic", "attribution"),
)
_FINGERS = slice(25, 55)


@foreign_reader
def read_pose_file(path: Path) -> MotionSequence:
    """The motion of a file with `poses` [T, (P,) 22, 3], axis-angle, and `trans` [T, (P,) 3], the pelvis in the world.

    Optional keys: `fps` (30), `valid` [T, (P)], `offsets` [(P,) 22, 3] (each joint from its parent at rest), `betas`
    [P, B] with `body_model`, `known` [P, 55], `action`, `synthetic`, `attribution`. Raises InputError.
    """
    arrays = read_npz(path, _REQUIRED, _OPTIONAL)
    poses, trans = (_numbers(path, key, arrays[key]).astype(np.float32) for key in _REQUIRED)
    single = poses.ndim == 3
    poses, trans = (array[:, None] if single else array for array in (poses, trans))
    if poses.shape[2:] != (NUM_BODY_JOINTS, 3) or trans.shape != (*poses.shape[:2], 3):
        raise InputError(
            f"{path}: poses must be [T, P, 22, 3] and trans [T, P, 3], not {poses.shape} and {trans.shape}"
        )
    if not (np.isfinite(poses).all() and np.isfinite(trans).all()):
        raise InputError(f"{path}: poses or trans hold numbers that are not finite")
    rotations, joint_valid = body_rotations(poses)
    people = poses.shape[1]
    if "hand_pose" in arrays:
        fingers = expect(path, "hand_pose", arrays["hand_pose"], (*poses.shape[:2], 30, 3))
        rotations[:, :, _FINGERS] = axis_angle_to_matrix(torch.as_tensor(fingers)).numpy()
    sequence = MotionSequence(
        name=path.stem,
        fps=expect_number(path, "fps", arrays.get("fps", 30)),
        rotations=rotations,
        pelvis=trans,
        valid=_numbers(path, "valid", arrays.get("valid", np.ones(poses.shape[:2]))).reshape(poses.shape[:2]) != 0,
        joint_valid=expect(path, "known", arrays.get("known", joint_valid), (people, NUM_JOINTS)) != 0,
        betas=expect(path, "betas", arrays["betas"], (people, "B")).astype(np.float32) if "betas" in arrays else None,
        body_model=expect_text(path, "body_model", arrays["body_model"]) if "body_model" in arrays else None,
        rest_joints=_rest_joints(_offsets_of(path, arrays["offsets"], people)) if "offsets" in arrays else None,
        action=expect_text(path, "action", arrays.get("action", "")),
        synthetic=bool(_numbers(path, "synthetic", np.asarray(arrays.get("synthetic", False))).any()),
        attribution=expect_text(path, "attribution", arrays.get("attribution", "")),
    )
    return checked_sequence(sequence)


def _numbers(path: Path, name: str, array: np.ndarray) -> Floats:
    """An array of any shape as finite float64. Raises InputError."""
    return expect(path, name, array, tuple("ABCDEFGH"[: array.ndim]))


def _offsets_of(path: Path, offsets: np.ndarray, people: int) -> np.ndarray:
    """[P, 22, 3] of [(P,) 22, 3]. Raises InputError."""
    numbers = _numbers(path, "offsets", offsets)
    if numbers.shape not in ((people, NUM_BODY_JOINTS, 3), *([(NUM_BODY_JOINTS, 3)] if people == 1 else [])):
        raise InputError(f"{path}: offsets must be [{people}, 22, 3], not {list(offsets.shape)}")
    return offsets.reshape(people, -1, 3)


def write_pose_file(path: Path, sequence: MotionSequence, more: Mapping[str, np.ndarray] | None = None) -> None:
    """Writes a sequence in the form of `read_pose_file`, single precision; fingers only if they are valid.

    more: further arrays of the file. Raises OutputError.
    """
    axis_angle = matrix_to_axis_angle(torch.as_tensor(sequence.rotations, dtype=torch.float64)).float().numpy()
    arrays: dict[str, np.ndarray] = {
        "poses": axis_angle[:, :, :NUM_BODY_JOINTS],
        "trans": sequence.pelvis.astype(np.float32),
        "valid": sequence.valid,
        "known": sequence.joint_valid,
        "fps": np.array(sequence.fps),
        "action": np.array(sequence.action),
        "synthetic": np.array(sequence.synthetic),
        "attribution": np.array(sequence.attribution),
    }
    if sequence.joint_valid[:, _FINGERS].any():
        arrays["hand_pose"] = axis_angle[:, :, _FINGERS]
    if sequence.betas is not None:
        arrays |= {"betas": sequence.betas, "body_model": np.array(sequence.body_model)}
    if sequence.rest_joints is not None:
        arrays["offsets"] = _offsets(sequence.rest_joints)
    with atomic_file(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays, **(more or {}))  # type: ignore[arg-type]


def _rest_joints(offsets: np.ndarray) -> np.ndarray:
    """Joints [P, 22, 3] at rest, pelvis at the origin, from the offset [P, 22, 3] of each joint to its parent."""
    joints = np.zeros_like(offsets)
    for joint, parent in enumerate(PARENTS[1:NUM_BODY_JOINTS], start=1):
        joints[:, joint] = joints[:, parent] + offsets[:, joint]
    return joints


def _offsets(joints: np.ndarray) -> np.ndarray:
    """The inverse of `_rest_joints`."""
    parents = [max(parent, 0) for parent in PARENTS[:NUM_BODY_JOINTS]]
    return (joints - joints[:, parents]).astype(np.float32)
