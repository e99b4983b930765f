"""What a foreign skeleton says of each joint of SMPL-X."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from closemesh.body.skeleton import JOINT_INDEX
from closemesh.motion_data.joint_names import JointMap, map_joints, plain_name
from closemesh.motion_data.posed_skeleton import PosedSkeleton
from closemesh.motion_data.sequence import NUM_JOINTS
from closemesh.scene import Bools, Floats

_SPINE = ("spine1", "spine2", "spine3")


@dataclass(frozen=True)
class SourceJoints:
    """The 55 joints as the file has them, in its own frame and unit; what it lacks is zero and the identity."""

    rest: Floats  # [55, 3] rest pose
    rotations: Floats  # [T, 55, 3, 3] from the rest pose to the frame
    positions: Floats  # [T, 55, 3]
    known: Bools  # [55]
    rests_as_smplx: bool
    """The rest pose is the T-pose of SMPL-X itself."""


def find_source_joints(skeleton: PosedSkeleton) -> SourceJoints:
    """Joints by their names. Raises ValueError with the names that were looked for in vain."""
    found = map_joints(skeleton.names)
    if missing := found.missing():
        raise ValueError(f"no joint found for {', '.join(missing)} among {', '.join(skeleton.names[:30])}")
    joints = SourceJoints(
        rest=np.zeros((NUM_JOINTS, 3)),
        rotations=np.tile(np.eye(3), (len(skeleton.rotations), NUM_JOINTS, 1, 1)),
        positions=np.zeros((len(skeleton.rotations), NUM_JOINTS, 3)),
        known=np.zeros(NUM_JOINTS, bool),
        rests_as_smplx=found.convention.is_smplx,
    )
    for name, source in found.joints.items():
        _take(joints, name, skeleton, [source])
    _take_wrists(joints, skeleton, found)
    _take_spine(joints, skeleton, found)
    neck = list(found.neck or (found.joints["head"],))
    _take(joints, "neck", skeleton, neck[:1])
    joints.rotations[:, JOINT_INDEX["neck"]] = _between(skeleton.rotations[:, neck], (len(neck) - 1) / 2)
    return joints


def _take(joints: SourceJoints, name: str, skeleton: PosedSkeleton, sources: list[int]) -> None:
    """The turning of the first of some joints of the file, at the middle of them."""
    joint = JOINT_INDEX[name]
    joints.rest[joint] = skeleton.rest[sources].mean(0)
    joints.rotations[:, joint] = skeleton.rotations[:, sources[0]]
    joints.positions[:, joint] = skeleton.positions[:, sources].mean(1)
    joints.known[joint] = True


def _take_wrists(joints: SourceJoints, skeleton: PosedSkeleton, found: JointMap) -> None:
    for name in ("left_wrist", "right_wrist"):
        source = found.joints[name]
        if plain_name(skeleton.names[source]) in found.convention.beyond_wrist:
            _take(joints, name, skeleton, [source, skeleton.parents[source]])


def _take_spine(joints: SourceJoints, skeleton: PosedSkeleton, found: JointMap) -> None:
    """Three joints as they are; of another number, the places and the turning spread evenly."""
    chain = found.spine
    turning = skeleton.rotations[:, [found.joints["pelvis"], *chain]]
    for k, name in enumerate(_SPINE):
        joint, along = JOINT_INDEX[name], k * (len(chain) - 1) / (len(_SPINE) - 1)
        low, high, share = chain[int(along)], chain[min(int(along) + 1, len(chain) - 1)], along % 1
        joints.rest[joint] = (1 - share) * skeleton.rest[low] + share * skeleton.rest[high]
        joints.positions[:, joint] = (1 - share) * skeleton.positions[:, low] + share * skeleton.positions[:, high]
        joints.rotations[:, joint] = _between(turning, (k + 1) * len(chain) / len(_SPINE))
        joints.known[joint] = True


def _between(rotations: Floats, place: float) -> Floats:
    """[T, 3, 3] at `place`, a fractional index along a chain of rotations [T, N, 3, 3], on the shortest way."""
    low, share = int(place + 1e-9), place % 1
    if share < 1e-6 or share > 1 - 1e-6:
        return rotations[:, round(place)]
    first = Rotation.from_matrix(rotations[:, low])
    step = (first.inv() * Rotation.from_matrix(rotations[:, low + 1])).as_rotvec()
    return (first * Rotation.from_rotvec(share * step)).as_matrix()
