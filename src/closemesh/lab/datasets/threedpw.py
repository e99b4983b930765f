"""3DPW (von Marcard et al. 2018): people outdoors before a moving camera, SMPL.

Layout as released: sequenceFiles/{train,validation,test}/<sequence>.pkl and imageFiles/<sequence>/image_00000.jpg.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from closemesh.core.arrays import Floats, expect_equal_lengths
from closemesh.core.errors import InputError
from closemesh.core.foreign import expect_list, expect_text, foreign_reader
from closemesh.core.unpickling import expect_numbers, load_pickle
from closemesh.lab.datasets.recording import DatasetCamera, Recording, extrinsics, rotation_to_y_up
from closemesh.motion_files.sequence import MotionSequence
from closemesh.motion_files.smpl_parameters import SmplParameters, merge_people, smpl_sequence

FPS = 30.0
_KEYS = ("poses", "betas", "trans", "jointPositions", "cam_poses", "cam_intrinsics")
_BY_PERSON = ("poses", "betas", "trans", "jointPositions", "campose_valid", "genders")
_GENDERS = {"m": "male", "f": "female"}
_NECK = 12


def is_threedpw(data: Any) -> bool:
    """Whether the content of a pickle is a sequence of 3DPW."""
    return isinstance(data, dict) and "jointPositions" in data and "cam_poses" in data


def threedpw_files(root: Path, split: str = "test") -> list[Path]:
    """The sequences of a split (train, validation, test), by name."""
    return sorted((root / "sequenceFiles" / split).glob("*.pkl"))


@foreign_reader
def read_threedpw(path: Path) -> Recording:
    """One sequence, its world rotated to y up by `rotation_to_y_up`.

    A person is valid in the frames in which `campose_valid` is 1. Raises InputError.
    """
    data = load_pickle(path)
    if not isinstance(data, dict):
        raise InputError(f"{path} is no sequence of 3DPW: it does not hold a dictionary")
    missing = [key for key in _KEYS if key not in data]
    if missing:
        raise InputError(f"{path} is no sequence of 3DPW: it has no {', '.join(missing)}")
    data = {**data, **{key: expect_list(path, key, data[key]) for key in _BY_PERSON if key in data}}
    count = len(data["poses"])
    if not count:
        raise InputError(f"{path}: poses has no people; get it again")
    joints = [_array(path, data, "jointPositions", p, 72).reshape(-1, 24, 3) for p in range(count)]
    cam_poses = expect_numbers(path, "cam_poses", data["cam_poses"], ("T", 4, 4))
    expect_equal_lengths(path, cam_poses=cam_poses, **{f"jointPositions_{p}": array for p, array in enumerate(joints)})
    R_world_file = rotation_to_y_up(np.concatenate([array[:, _NECK] - array[:, 0] for array in joints]))
    people = [_person(path, data, p, joints[p], R_world_file) for p in range(count)]
    return Recording(merge_people(people, path.stem), (_camera(path, data, cam_poses, R_world_file),))


def _person(path: Path, data: dict[str, Any], p: int, joints: Floats, R_world_file: Floats) -> MotionSequence:
    poses, trans = _array(path, data, "poses", p, 72), _array(path, data, "trans", p, 3)
    valid = np.ones(len(poses), bool)
    if "campose_valid" in data:
        valid = expect_numbers(path, f"campose_valid[{p}]", _entry(path, data, "campose_valid", p), ("T",)) != 0
    expect_equal_lengths(path, poses=poses, trans=trans, jointPositions=joints, campose_valid=valid)
    genders = data.get("genders", [])
    parameters = SmplParameters(
        model="smpl",
        gender=_GENDERS.get(expect_text(path, "genders", genders[p]), "neutral") if p < len(genders) else "neutral",
        transl=trans,
        parts={"root_orient": poses[:, :3], "pose_body": poses[:, 3:66]},
        betas=expect_numbers(path, "betas", np.asarray(_entry(path, data, "betas", p)).reshape(-1)[:10], (10,)),
        valid=valid,
        joints=joints,
    )
    return smpl_sequence("", FPS, parameters, R_world_file)


def _array(path: Path, data: dict[str, Any], key: str, p: int, width: int) -> Floats:
    return expect_numbers(path, f"{key}[{p}]", _entry(path, data, key, p), ("T", width))


def _entry(path: Path, data: dict[str, Any], key: str, p: int) -> Any:
    if p >= len(data[key]):
        raise InputError(f"{path}: {key} has {len(data[key])} people, poses {len(data['poses'])}")
    return data[key][p]


def _camera(path: Path, data: dict[str, Any], cam_poses: Floats, R_world_file: Floats) -> DatasetCamera:
    """The moving camera; images are numbered like the frames, `img_frame_ids` has another rate and is ignored."""
    return DatasetCamera(
        name="phone",
        K=expect_numbers(path, "cam_intrinsics", data["cam_intrinsics"], (3, 3)),
        distortion=np.zeros(5),
        T_cam_world=extrinsics(cam_poses[:, :3, :3], cam_poses[:, :3, 3], R_world_file),
        clip=path.parent.parent.parent / "imageFiles" / expect_text(path, "sequence", data.get("sequence", path.stem)),
        clip_frames=np.arange(len(cam_poses)),
    )
