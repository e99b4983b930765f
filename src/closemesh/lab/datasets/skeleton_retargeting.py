"""Motion of a foreign skeleton as rotations of the SMPL-X skeleton relative to its T-pose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

from closemesh.body.loading import load_bundled_body
from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS
from closemesh.core.arrays import Z_UP_TO_Y_UP, Bools, Floats
from closemesh.lab.datasets.joint_mapping import JointMap, map_joints, plain_name
from closemesh.motion_files.sequence import NUM_JOINTS, MotionSequence, checked_sequence
from closemesh.structures import NUM_BODY_JOINTS


@dataclass(frozen=True)
class PosedSkeleton:
    """A moving skeleton in the world frame and unit of the file; parents before children, -1 for the root."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    rest: Floats
    """[J, 3] joints in the rest pose."""
    rotations: Floats
    """[T, J, 3, 3] global rotation of each joint from the rest pose to the frame."""
    positions: Floats
    """[T, J, 3]."""


def pose_skeleton(
    names: Sequence[str], parents: Sequence[int], offsets: Floats, local_rotations: Floats, local_positions: Floats
) -> PosedSkeleton:
    """Forward kinematics of any tree.

    offsets [J, 3] of each joint from its parent at rest, local_rotations [T, J, 3, 3], and local_positions [T, J, 3]
    or [1, J, 3], the offsets in each frame.
    """
    frames, count = local_rotations.shape[:2]
    local_positions = np.broadcast_to(local_positions, (frames, count, 3))
    rest, rotations, positions = np.zeros((count, 3)), np.empty((frames, count, 3, 3)), np.empty((frames, count, 3))
    for joint, parent in enumerate(parents):
        if parent < 0:
            rest[joint], rotations[:, joint] = offsets[joint], local_rotations[:, joint]
            positions[:, joint] = local_positions[:, joint]
            continue
        rest[joint] = rest[parent] + offsets[joint]
        rotations[:, joint] = rotations[:, parent] @ local_rotations[:, joint]
        offset = (rotations[:, parent] @ local_positions[:, joint, :, None])[..., 0]
        positions[:, joint] = positions[:, parent] + offset
    return PosedSkeleton(tuple(names), tuple(parents), rest, rotations, positions)


_SPINE = ("spine1", "spine2", "spine3")


@dataclass(frozen=True)
class SourceJoints:
    """The 55 joints in the frame and unit of the file; zero and the identity for missing joints."""

    rest: Floats  # [55, 3] rest pose
    rotations: Floats  # [T, 55, 3, 3] from the rest pose to the frame
    positions: Floats  # [T, 55, 3]
    valid: Bools  # [55]
    rests_as_smplx: bool
    """The rest pose is the T-pose of SMPL-X."""


def find_source_joints(skeleton: PosedSkeleton) -> SourceJoints:
    """The joints by their names. Raises ValueError with the names of missing joints."""
    found = map_joints(skeleton.names)
    if missing := found.missing():
        raise ValueError(f"no joint found for {', '.join(missing)} among {', '.join(skeleton.names[:30])}")
    joints = SourceJoints(
        rest=np.zeros((NUM_JOINTS, 3)),
        rotations=np.tile(np.eye(3), (len(skeleton.rotations), NUM_JOINTS, 1, 1)),
        positions=np.zeros((len(skeleton.rotations), NUM_JOINTS, 3)),
        valid=np.zeros(NUM_JOINTS, bool),
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
    """Stores rotation of the first of some joints of the file, at their mean position."""
    joint = JOINT_INDEX[name]
    joints.rest[joint] = skeleton.rest[sources].mean(0)
    joints.rotations[:, joint] = skeleton.rotations[:, sources[0]]
    joints.positions[:, joint] = skeleton.positions[:, sources].mean(1)
    joints.valid[joint] = True


def _take_wrists(joints: SourceJoints, skeleton: PosedSkeleton, found: JointMap) -> None:
    for name in ("left_wrist", "right_wrist"):
        source = found.joints[name]
        if plain_name(skeleton.names[source]) in found.convention.beyond_wrist:
            _take(joints, name, skeleton, [source, skeleton.parents[source]])


def _take_spine(joints: SourceJoints, skeleton: PosedSkeleton, found: JointMap) -> None:
    """Stores three spine joints; from another number of joints, positions and rotations are interpolated."""
    chain = found.spine
    rotations = skeleton.rotations[:, [found.joints["pelvis"], *chain]]
    for k, name in enumerate(_SPINE):
        joint, along = JOINT_INDEX[name], k * (len(chain) - 1) / (len(_SPINE) - 1)
        low, high, weight = chain[int(along)], chain[min(int(along) + 1, len(chain) - 1)], along % 1
        joints.rest[joint] = (1 - weight) * skeleton.rest[low] + weight * skeleton.rest[high]
        joints.positions[:, joint] = (1 - weight) * skeleton.positions[:, low] + weight * skeleton.positions[:, high]
        joints.rotations[:, joint] = _between(rotations, (k + 1) * len(chain) / len(_SPINE))
        joints.valid[joint] = True


def _between(rotations: Floats, index: float) -> Floats:
    """Rotation [T, 3, 3] at a fractional index of rotations [T, N, 3, 3], interpolated along the shortest arc."""
    low, weight = int(index + 1e-9), index % 1
    if weight < 1e-6 or weight > 1 - 1e-6:
        return rotations[:, round(index)]
    first = Rotation.from_matrix(rotations[:, low])
    step = (first.inv() * Rotation.from_matrix(rotations[:, low + 1])).as_rotvec()
    return (first * Rotation.from_rotvec(weight * step)).as_matrix()


Up = Literal["y", "z"]

METERS_PER_UNIT = {"meter": 1.0, "centimeter": 0.01, "millimeter": 0.001, "inch": 0.0254, "CMU": 0.0254 / 0.45}
"""Units of motion-capture files."""

_USUAL_SIZE = 1.4  # Meters from ankle over pelvis to head of an adult, along the bones.
_AXES_ANGLE = np.deg2rad(30)  # A rest pose within this angle of the axes of the file is aligned with them.
_STANDING = np.cos(np.deg2rad(75))  # Largest angle between trunk and legs of a standing rest pose.
_OTHER_DIRECTION = np.cos(np.deg2rad(45))  # Smallest angle at which the direction of a foot counts as another one.
_LIMBS = ("hip", "knee", "shoulder", "elbow")


def retarget_to_smplx(
    skeleton: PosedSkeleton,
    name: str,
    fps: float,
    meters_per_unit: float | None = None,
    up: Up | None = None,
    body: BodyModel | None = None,
) -> MotionSequence:
    """One person as a MotionSequence: joint positions of the file, rotations relative to the T-pose of `body`.

    By default the unit is estimated from the size of the skeleton, the up axis from its rest pose, and the T-pose is
    that of the bundled body. Limbs with another rest direction, as in an A-pose, are rotated along the shortest arc.
    Raises ValueError when joints are missing or the rest pose does not stand, and see `checked_sequence`.
    """
    t_pose = (body or load_bundled_body("light")).joint_template.double().cpu().numpy()
    joints = find_source_joints(skeleton)
    upright = _upright(joints)
    joints, rest_turns = _complete(joints, upright, t_pose)
    scale = meters_per_unit or guess_unit(joints.rest)
    turn = np.eye(3) if (up or _rest_up(upright)) == "y" else Z_UP_TO_Y_UP
    R_world_joint = turn @ joints.rotations @ rest_turns  # [T, 55, 3, 3]
    parents = [max(parent, 0) for parent in PARENTS]
    rotations = np.swapaxes(R_world_joint[:, parents], -1, -2) @ R_world_joint
    rotations[:, 0] = R_world_joint[:, 0]
    positions = (scale * joints.positions[:, :NUM_BODY_JOINTS] @ turn.T).astype(np.float32)
    sequence = MotionSequence(
        name=name,
        fps=fps,
        rotations=rotations[:, None].astype(np.float32),
        pelvis=positions[:, None, 0],
        valid=np.ones((len(positions), 1), bool),
        joint_valid=joints.valid[None],
        rest_joints=(scale * _in_t_pose(joints.rest, rest_turns))[None, :NUM_BODY_JOINTS].astype(np.float32),
        joints=positions[:, None],
    )
    return checked_sequence(sequence)


def guess_unit(rest: Floats) -> float:
    """Meters per unit for which the skeleton rest [55, 3] is nearest to the size of an adult."""
    path = ("left_ankle", "left_knee", "left_hip", "pelvis", "spine1", "spine2", "spine3", "neck", "head")
    points = rest[[JOINT_INDEX[name] for name in path]]
    length = np.linalg.norm(np.diff(points, axis=0), axis=-1).sum()
    return min(METERS_PER_UNIT.values(), key=lambda unit: abs(np.log(max(length * unit, 1e-9) / _USUAL_SIZE)))


def _upright(joints: SourceJoints) -> Floats:
    """R_file_tpose [3, 3]: orientation of the T-pose, y up and facing z, in the rest pose of the file."""
    at = {name: joints.rest[index] for name, index in JOINT_INDEX.items()}
    hips = (at["left_hip"] + at["right_hip"]) / 2
    up = at["neck"] - hips
    left = at["left_shoulder"] - at["right_shoulder"] + at["left_hip"] - at["right_hip"]
    legs = (at["left_ankle"] + at["right_ankle"]) / 2 - hips
    lengths = np.linalg.norm(up) * np.linalg.norm(legs)
    if lengths == 0 or -(up @ legs) < _STANDING * lengths or np.linalg.norm(np.cross(left, up)) == 0:
        raise ValueError("its rest pose does not stand, so the roll of the limbs is not known; export it with a T-pose")
    y = up / np.linalg.norm(up)
    z = np.cross(left, y)
    z /= np.linalg.norm(z)
    leaning = Rotation.from_matrix(np.stack([np.cross(y, z), y, z], axis=-1))
    along_axes = Rotation.create_group("O")
    angles = (along_axes * leaning.inv()).magnitude()
    nearest = along_axes[int(angles.argmin())]
    return (nearest if angles.min() < _AXES_ANGLE else leaning).as_matrix()


def _rest_up(upright: Floats) -> Up:
    return "z" if abs(upright[2, 1]) > abs(upright[1, 1]) else "y"


def _complete(joints: SourceJoints, upright: Floats, t_pose: Floats) -> tuple[SourceJoints, Floats]:
    """The joints with missing ones from the T-pose, and R_file_tpose [55, 3, 3] of each joint at rest."""
    rest, rotations, positions = joints.rest.copy(), joints.rotations.copy(), joints.positions.copy()
    turns = np.tile(upright, (NUM_JOINTS, 1, 1))
    unit = guess_unit(joints.rest)
    for joint in range(1, NUM_JOINTS):
        parent = PARENTS[joint]
        turns[joint] = turns[parent]
        if not joints.valid[joint]:
            bone = turns[parent] @ (t_pose[joint] - t_pose[parent]) / unit
            rest[joint] = rest[parent] + bone
            rotations[:, joint] = rotations[:, parent]
            positions[:, joint] = positions[:, parent] + rotations[:, parent] @ bone
        elif not joints.rests_as_smplx:
            turns[joint] = _rest_turn(joint, turns[parent], joints, t_pose)
    return replace(joints, rest=rest, rotations=rotations, positions=positions), turns


def _rest_turn(joint: int, turn: Floats, joints: SourceJoints, t_pose: Floats) -> Floats:
    """R_file_tpose [3, 3] of one joint: that of its parent, then the shortest arc to the rest direction of its bone."""
    child = next((child for child, parent in enumerate(PARENTS) if parent == joint and joints.valid[child]), None)
    limb = JOINT_NAMES[joint].endswith(_LIMBS) or joint >= JOINT_INDEX["left_index1"]
    foot = JOINT_NAMES[joint].endswith("ankle")
    # The direction of bones of the trunk and collars depends on the tool more than on the pose.
    if child is None or not (limb or foot):
        return turn
    wanted, bone = turn @ (t_pose[child] - t_pose[joint]), joints.rest[child] - joints.rest[joint]
    lengths = np.linalg.norm(wanted) * np.linalg.norm(bone)
    if lengths == 0 or (
        foot and wanted @ bone > _OTHER_DIRECTION * lengths
    ):  # The height of ankles depends on the tool.
        return turn
    shortest = Rotation.align_vectors(bone[None], wanted[None])[0]
    return shortest.as_matrix() @ turn


def _in_t_pose(rest: Floats, turns: Floats) -> Floats:
    """The skeleton [55, 3] with the bones of `rest` in the directions of the T-pose, pelvis at the origin."""
    joints = np.zeros((NUM_JOINTS, 3))
    for joint, parent in enumerate(PARENTS[1:], start=1):
        joints[joint] = joints[parent] + turns[parent].T @ (rest[joint] - rest[parent])
    return joints
