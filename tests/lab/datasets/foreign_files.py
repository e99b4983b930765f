"""Files that tools other than closemesh write, made by the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from closemesh.body.skeleton import JOINT_NAMES, PARENTS
from closemesh.lab.datasets.bvh import BvhFile, BvhJoint, write_bvh_file

MIXAMO = {
    "pelvis": "mixamorig:Hips",
    **{f"spine{k}": f"mixamorig:Spine{'' if k == 1 else k - 1}" for k in (1, 2, 3)},
    **{"neck": "mixamorig:Neck", "head": "mixamorig:Head"},
}
BIPED = {"pelvis": "Bip01 Pelvis", "spine1": "Bip01 Spine", "spine2": "Bip01 Spine1", "spine3": "Bip01 Spine2"}
BIPED |= {"neck": "Bip01 Neck", "head": "Bip01 Head"}
CHEST = {
    "pelvis": "Hips",
    "spine1": "Chest",
    "spine2": "Chest2",
    "spine3": "Chest3",
    "neck": "Neck",
    "head": "Head",
}
_PARTS = ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
_OF_MIXAMO = ("UpLeg", "Leg", "Foot", "ToeBase", "Shoulder", "Arm", "ForeArm", "Hand")
_OF_BIPED = ("Thigh", "Calf", "Foot", "Toe0", "Clavicle", "UpperArm", "Forearm", "Hand")
_OF_CHEST = ("Hip", "Knee", "Ankle", "Toe", "Collar", "Shoulder", "Elbow", "Wrist")
for _side in ("left", "right"):
    for _part, _m, _b, _s in zip(_PARTS, _OF_MIXAMO, _OF_BIPED, _OF_CHEST, strict=True):
        MIXAMO[f"{_side}_{_part}"] = f"mixamorig:{_side.capitalize()}{_m}"
        BIPED[f"{_side}_{_part}"] = f"Bip01 {_side[0].upper()} {_b}"
        CHEST[f"{_side}_{_part}"] = f"{_side.capitalize()}{_s}"


def write_foreign_bvh(
    path: Path,
    names: dict[str, str],
    t_pose: np.ndarray,
    R_world_joint: np.ndarray,
    pelvis: np.ndarray,
    rest_turns: np.ndarray,
    order: str = "ZXY",
    unit: float = 0.01,
) -> None:
    """Write SMPL-X motion as another tool would: its own names, order of turns, unit and rest pose.

    t_pose [22, 3] meters, R_world_joint [T, 22, 3, 3] from the T-pose, pelvis [T, 3], rest_turns [22, 3, 3] from the
    T-pose to the rest pose of the file. `names` may leave joints out.
    """
    written = [j for j in _walk(0) if JOINT_NAMES[j] in names]
    joints, columns = [], [pelvis / unit]
    R_from_rest = R_world_joint @ np.swapaxes(rest_turns, -1, -2)
    for joint in written:
        parent = PARENTS[joint]
        bone = rest_turns[parent] @ (t_pose[joint] - t_pose[parent]) if parent >= 0 else np.zeros(3)
        local = (
            np.swapaxes(R_from_rest[:, parent], -1, -2) @ R_from_rest[:, joint] if parent >= 0 else R_from_rest[:, 0]
        )
        columns.append(Rotation.from_matrix(local).as_euler(order, degrees=True))
        channels = tuple(f"{axis}rotation" for axis in order)
        if parent < 0:
            channels = ("Xposition", "Yposition", "Zposition", *channels)
        joints.append(
            BvhJoint(
                names[JOINT_NAMES[joint]],
                written.index(parent) if parent >= 0 else -1,
                tuple((bone / unit).tolist()),
                channels,
            )
        )
    write_bvh_file(path, BvhFile(tuple(joints), 1 / 60, np.concatenate(columns, axis=1)))


def _walk(joint: int) -> list[int]:
    return [joint, *(j for child in range(22) if PARENTS[child] == joint for j in _walk(child))]
