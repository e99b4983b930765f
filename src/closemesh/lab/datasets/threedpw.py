"""3DPW (von Marcard et al. 2018): people outdoors before a moving camera, SMPL.

Layout as released: sequenceFiles/{train,validation,test}/<sequence>.pkl and imageFiles/<sequence>/image_00000.jpg.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from closemesh.core.arrays import Floats, expect, expect_equal_lengths
from closemesh.core.errors import InputError
from closemesh.core.unpickling import load_pickle
from closemesh.lab.datasets.recording import DatasetCamera, Recording, extrinsics, turn_to_y_up
from closemesh.motion_files.sequence import MotionSequence
from closemesh.motion_files.smpl_parameters import SmplParameters, merge_people, smpl_sequence

FPS = 30.0
_KEYS = ("poses", "betas", "trans", "jointPositions", "cam_poses", "cam_intrinsics")
_GENDERS = {"m": "male", "f": "female"}
_NECK = 12


def is_threedpw(told: Any) -> bool:
    """Whether what a pickle holds is a sequence of 3DPW."""
    return isinstance(told, dict) and "jointPositions" in told and "cam_poses" in told


def threedpw_files(root: Path, split: str = "test") -> list[Path]:
    """The sequences of a split (train, validation, test), by name."""
    return sorted((root / "sequenceFiles" / split).glob("*.pkl"))


def read_threedpw(path: Path) -> Recording:
    """One sequence, its world turned to y up: the files do not say which axis is up, see `turn_to_y_up`.

    A person is valid in the frames in which `campose_valid` is 1. Raises InputError.
    """
    told = load_pickle(path)
    if not isinstance(told, dict):
        raise InputError(f"{path} is no sequence of 3DPW: it does not hold a dictionary")
    missing = [key for key in _KEYS if key not in told]
    if missing:
        raise InputError(f"{path} is no sequence of 3DPW: it has no {', '.join(missing)}")
    count = len(told["poses"])
    joints = [_array(path, told, "jointPositions", p, 72).reshape(-1, 24, 3) for p in range(count)]
    cam_poses = expect(path, "cam_poses", np.asarray(told["cam_poses"]), ("T", 4, 4))
    expect_equal_lengths(path, cam_poses=cam_poses, **{f"jointPositions_{p}": array for p, array in enumerate(joints)})
    R_world_file = turn_to_y_up(np.concatenate([array[:, _NECK] - array[:, 0] for array in joints]))
    people = [_person(path, told, p, joints[p], R_world_file) for p in range(count)]
    return Recording(merge_people(people, path.stem), (_camera(path, told, cam_poses, R_world_file),))


def _person(path: Path, told: dict[str, Any], p: int, joints: Floats, R_world_file: Floats) -> MotionSequence:
    poses, trans = _array(path, told, "poses", p, 72), _array(path, told, "trans", p, 3)
    valid = np.asarray(told["campose_valid"][p] if "campose_valid" in told else np.ones(len(poses))).astype(bool)
    expect_equal_lengths(path, poses=poses, trans=trans, jointPositions=joints, campose_valid=valid)
    genders = told.get("genders", [])
    parameters = SmplParameters(
        model="smpl",
        gender=_GENDERS.get(str(genders[p]), "neutral") if p < len(genders) else "neutral",
        transl=trans,
        parts={"root_orient": poses[:, :3], "pose_body": poses[:, 3:66]},
        betas=expect(path, "betas", np.asarray(told["betas"][p]).reshape(-1)[:10], (10,)),
        valid=valid,
        joints=joints,
    )
    return smpl_sequence("", FPS, parameters, R_world_file)


def _array(path: Path, told: dict[str, Any], key: str, p: int, width: int) -> Floats:
    if p >= len(told[key]):
        raise InputError(f"{path}: {key} tells of {len(told[key])} people, poses of {len(told['poses'])}")
    return expect(path, f"{key}[{p}]", np.asarray(told[key][p]), ("T", width))


def _camera(path: Path, told: dict[str, Any], cam_poses: Floats, R_world_file: Floats) -> DatasetCamera:
    """Images are numbered as the frames are; `img_frame_ids` counts at 60 frames a second and is not meant here."""
    return DatasetCamera(
        name="phone",
        K=expect(path, "cam_intrinsics", np.asarray(told["cam_intrinsics"]), (3, 3)),
        distortion=np.zeros(5),
        T_cam_world=extrinsics(cam_poses[:, :3, :3], cam_poses[:, :3, 3], R_world_file),
        clip=path.parent.parent.parent / "imageFiles" / str(told.get("sequence", path.stem)),
        clip_frames=np.arange(len(cam_poses)),
    )
