"""Motion in BVH files: of the common skeletons in, of a body's SMPL-X skeleton out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_NAMES, PARENTS
from closemesh.body.skinning import rest_joints
from closemesh.errors import InputError
from closemesh.motion_data.bvh_file import BvhFile, BvhJoint, read_bvh_file, write_bvh_file
from closemesh.motion_data.onto_smplx import METRES_PER_UNIT, Up, onto_smplx
from closemesh.motion_data.posed_skeleton import PosedSkeleton, pose_skeleton
from closemesh.motion_data.sequence import MotionSequence, put_on_body
from closemesh.scene import Floats

_WRITTEN_UNIT = METRES_PER_UNIT["centimetre"]
_WRITTEN_ORDER = "ZXY"


def read_bvh(
    path: Path, metres_per_unit: float | None = None, up: Up | None = None, body: BodyModel | None = None
) -> MotionSequence:
    """One person from a BVH file with any tree, channels and order of rotations; see `onto_smplx` for the rest.

    Joints are known by the names of CMU's two conversions, Mixamo, 3ds Max biped, Xsens or SMPL-X. Raises InputError.
    """
    bvh = read_bvh_file(path)
    try:
        return onto_smplx(_posed(bvh), path.stem, _rate(bvh), metres_per_unit, up, body)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def write_bvh(path: Path, sequence: MotionSequence, body: BodyModel, person: int = 0) -> None:
    """One person put on `body`, as its 55 joints under their SMPL-X names; y up, centimetres. Raises OutputError."""
    motion = put_on_body(sequence.people(person), body)
    rest = rest_joints(body, torch.as_tensor(motion.betas).to(body.joint_template))[0].double().cpu().numpy()  # [55, 3]
    order = _walk(0)
    angles = Rotation.from_matrix(motion.rotations[:, 0].reshape(-1, 3, 3)).as_euler(_WRITTEN_ORDER, degrees=True)
    angles = angles.reshape(len(sequence), len(JOINT_NAMES), 3)[:, order].reshape(len(sequence), -1)
    pelvis = sequence.pelvis[:, person] / _WRITTEN_UNIT
    joints = tuple(_written_joint(joint, order, rest / _WRITTEN_UNIT) for joint in order)
    write_bvh_file(path, BvhFile(joints, 1 / sequence.fps, np.concatenate([pelvis, angles], axis=1)))


def _rate(bvh: BvhFile) -> float:
    """Frames a second; files round the frame time, as in .0083333 for 120."""
    return round(1 / bvh.frame_time, 2)


def _posed(bvh: BvhFile) -> PosedSkeleton:
    """Angles and positions of the channels turned into a moving skeleton."""
    frames, count = len(bvh.values), len(bvh.joints)
    offsets = np.array([joint.offset for joint in bvh.joints])
    rotations, positions = np.tile(np.eye(3), (frames, count, 1, 1)), np.tile(offsets, (frames, 1, 1))
    column = 0
    for index, joint in enumerate(bvh.joints):
        values = bvh.values[:, column : column + len(joint.channels)]
        column += len(joint.channels)
        for channel, value in zip(joint.channels, values.T, strict=True):
            if channel.endswith("position"):  # Takes the place of the offset.
                positions[:, index, "XYZ".index(channel[0])] = value
        turning = [k for k, channel in enumerate(joint.channels) if channel.endswith("rotation")]
        if turning:
            order = "".join(joint.channels[k][0] for k in turning)
            angles = values[:, turning] if len(turning) > 1 else values[:, turning[0]]
            rotations[:, index] = Rotation.from_euler(order, angles, degrees=True).as_matrix()
    parents = [joint.parent for joint in bvh.joints]
    return pose_skeleton([joint.name for joint in bvh.joints], parents, offsets, rotations, positions)


def _walk(joint: int) -> list[int]:
    """The joint and all below it, each branch to its end before the next."""
    return [joint, *(j for child, parent in enumerate(PARENTS) if parent == joint for j in _walk(child))]


def _written_joint(joint: int, order: list[int], rest: Floats) -> BvhJoint:
    parent = PARENTS[joint]
    bone = rest[joint] - rest[parent] if parent >= 0 else np.zeros(3)
    positions = ("Xposition", "Yposition", "Zposition") if parent < 0 else ()
    return BvhJoint(
        name=JOINT_NAMES[joint],
        parent=order.index(parent) if parent >= 0 else -1,
        offset=tuple(bone.tolist()),
        channels=(*positions, *(f"{axis}rotation" for axis in _WRITTEN_ORDER)),
        end=tuple((bone / 2).tolist()),
    )
