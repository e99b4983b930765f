"""BVH files: the common skeletons are read, the SMPL-X skeleton of a body is written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_NAMES, PARENTS
from closemesh.body.skinning import rest_joints
from closemesh.core.arrays import Floats
from closemesh.core.errors import InputError
from closemesh.core.files import atomic_file
from closemesh.core.foreign import foreign_reader, parse_number
from closemesh.lab.datasets.skeleton_retargeting import (
    METERS_PER_UNIT,
    PosedSkeleton,
    Up,
    pose_skeleton,
    retarget_to_smplx,
)
from closemesh.motion_files.sequence import MotionSequence, to_body_motion

CHANNELS = tuple(f"{axis}{kind}" for kind in ("position", "rotation") for axis in "XYZ")
_MAX_JOINTS, _MAX_DEPTH = 2000, 200
_MAX_SECONDS = 1000.0  # From one frame to the next.
_PIECES = re.compile(r"([{}])|\s(?=(?:OFFSET|CHANNELS|JOINT|End)\s)")


@dataclass(frozen=True)
class BvhJoint:
    """One joint of a BVH file; parent -1 for the root."""

    name: str
    parent: int
    offset: tuple[float, ...] = (0.0, 0.0, 0.0)
    channels: tuple[str, ...] = ()
    end: tuple[float, ...] | None = field(default=None)
    """Offset of the end of its bone; None when it has children."""


@dataclass(frozen=True)
class BvhFile:
    """Content of a BVH file; angles in degrees, lengths in the unit of the file."""

    joints: tuple[BvhJoint, ...]
    """Parents before children, in the order of the file."""
    frame_time: float
    """Seconds."""
    values: Floats
    """[T, C] channels of all joints."""


@foreign_reader
def read_bvh_file(path: Path) -> BvhFile:
    """The content of a BVH file. Raises InputError with the line at fault."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path") from error
    start = next((number for number, line in enumerate(lines) if line.strip().upper() == "MOTION"), None)
    if start is None or not lines or lines[0].strip().upper() != "HIERARCHY":
        raise InputError(f"{path} is no BVH file: it does not begin with HIERARCHY or has no MOTION")
    joints = _read_hierarchy(path, lines[1:start])
    frame_time, values = _read_motion(path, lines, start + 1, sum(len(joint.channels) for joint in joints))
    return BvhFile(joints, frame_time, values)


def write_bvh_file(path: Path, bvh: BvhFile) -> None:
    """Writes a BVH file, whose joints must be in depth-first order. Raises OutputError."""
    children = [[c for c, joint in enumerate(bvh.joints) if joint.parent == j] for j in range(len(bvh.joints))]
    with atomic_file(path) as part, part.open("w") as file:
        file.write("HIERARCHY\n")
        file.writelines(f"{line}\n" for line in _hierarchy_lines(bvh.joints, children, 0, ""))
        file.write(f"MOTION\nFrames: {len(bvh.values)}\nFrame Time: {bvh.frame_time:.9f}\n")
        np.savetxt(file, bvh.values, fmt="%.6f")


def _read_hierarchy(path: Path, lines: list[str]) -> tuple[BvhJoint, ...]:
    joints: list[BvhJoint] = []
    open_joints: list[int] = []  # From the root down; -1 for an end site.
    opening = -1
    for number, piece in _pieces(lines):
        words = piece.split()
        try:
            if len(joints) > _MAX_JOINTS or len(open_joints) > _MAX_DEPTH:
                raise ValueError(f"more than {_MAX_JOINTS} joints, or deeper than {_MAX_DEPTH}")
            if words[0] in ("ROOT", "JOINT"):
                opening = len(joints)
                joints.append(BvhJoint(piece.split(None, 1)[1], open_joints[-1] if open_joints else -1))
            elif words[0].upper() == "END":
                opening = -1
            elif words[0] == "{":
                open_joints.append(opening)
            elif words[0] == "}":
                open_joints.pop()
            else:
                _read_property(joints, open_joints, words)
        except (IndexError, ValueError) as error:
            raise InputError(f"{path}, line {number}: {piece!r} is not understood ({error})") from error
    if not joints or open_joints:
        raise InputError(f"{path}: the tree of joints is cut short; get the file again")
    return tuple(joints)


def _pieces(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Line number and content of each statement; one line may hold several."""
    for number, line in enumerate(lines, start=2):
        for piece in _PIECES.split(f" {line}"):
            if piece and piece.strip():
                yield number, piece.strip()


def _read_property(joints: list[BvhJoint], open_joints: list[int], words: list[str]) -> None:
    joint = open_joints[-1]
    if words[0] == "OFFSET":
        x, y, z = (parse_number(word) for word in words[1:4])
        if joint < 0:
            joints[open_joints[-2]] = replace(joints[open_joints[-2]], end=(x, y, z))
        else:
            joints[joint] = replace(joints[joint], offset=(x, y, z))
    elif words[0] == "CHANNELS":
        channels = tuple(word[0].upper() + word[1:].lower() for word in words[2:])
        if len(channels) != int(words[1]) or set(channels) - set(CHANNELS):
            raise ValueError(f"channels must be {words[1]} of {', '.join(CHANNELS)}")
        joints[joint] = replace(joints[joint], channels=channels)
    else:
        raise ValueError("expected ROOT, JOINT, End Site, OFFSET, CHANNELS or a brace")


def _read_motion(path: Path, lines: list[str], start: int, width: int) -> tuple[float, Floats]:
    head = "\n".join(lines[start : start + 4])
    found = re.search(r"Frames:\s*([0-9]{1,9})\s+Frame\s+Time:\s*([-+.0-9eE]+)", head, re.IGNORECASE)
    if found is None or not 0 < float(found[2]) <= _MAX_SECONDS or int(found[1]) == 0:
        raise InputError(f"{path}, line {start + 1}: no frames, or no frame time above 0")
    first = start + head[: found.end()].count("\n") + 1
    rows = []
    for number, line in enumerate(lines[first:], start=first + 1):
        try:
            rows.append(np.array(line.split(), dtype=np.float64))
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {error}") from error
    values = np.concatenate(rows) if rows else np.zeros(0)
    if len(values) != int(found[1]) * width or not np.isfinite(values).all():
        raise InputError(
            f"{path} holds {len(values)} finite or other numbers, not {found[1]} frames of {width} channels; "
            "it is cut short or damaged"
        )
    return float(found[2]), values.reshape(-1, width)


def _hierarchy_lines(joints: tuple[BvhJoint, ...], children: list[list[int]], index: int, indent: str) -> Iterator[str]:
    joint, deeper = joints[index], f"{indent}  "
    yield f"{indent}{'ROOT' if joint.parent < 0 else 'JOINT'} {joint.name}"
    yield f"{indent}{{"
    yield f"{deeper}OFFSET {_numbers(joint.offset)}"
    yield f"{deeper}CHANNELS {len(joint.channels)} {' '.join(joint.channels)}"
    for child in children[index]:
        yield from _hierarchy_lines(joints, children, child, deeper)
    if not children[index]:
        yield from (
            f"{deeper}{line}" for line in ("End Site", "{", f"  OFFSET {_numbers(joint.end or (0, 0, 0))}", "}")
        )
    yield f"{indent}}}"


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.6f}" for value in values)


_WRITTEN_UNIT = METERS_PER_UNIT["centimeter"]
_WRITTEN_ORDER = "ZXY"


@foreign_reader
def read_bvh(
    path: Path, meters_per_unit: float | None = None, up: Up | None = None, body: BodyModel | None = None
) -> MotionSequence:
    """One person from a BVH file with any tree, channels and order of rotations; see `onto_smplx` for the rest.

    Joints are known by the names of CMU's two conversions, Mixamo, 3ds Max biped, Xsens or SMPL-X. Raises InputError.
    """
    bvh = read_bvh_file(path)
    try:
        return retarget_to_smplx(_posed(bvh), path.stem, _rate(bvh), meters_per_unit, up, body)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def write_bvh(path: Path, sequence: MotionSequence, body: BodyModel, person: int = 0) -> None:
    """Writes one person transferred to `body` as its 55 SMPL-X joints; y up, centimeters. Raises OutputError."""
    motion = to_body_motion(sequence.people([person]), body)
    rest = rest_joints(body, torch.as_tensor(motion.betas).to(body.joint_template))[0].double().cpu().numpy()  # [55, 3]
    order = _walk(0)
    angles = Rotation.from_matrix(motion.rotations[:, 0].reshape(-1, 3, 3)).as_euler(_WRITTEN_ORDER, degrees=True)
    angles = angles.reshape(len(sequence), len(JOINT_NAMES), 3)[:, order].reshape(len(sequence), -1)
    pelvis = sequence.pelvis[:, person] / _WRITTEN_UNIT
    joints = tuple(_written_joint(joint, order, rest / _WRITTEN_UNIT) for joint in order)
    write_bvh_file(path, BvhFile(joints, 1 / sequence.fps, np.concatenate([pelvis, angles], axis=1)))


def _rate(bvh: BvhFile) -> float:
    """Frames per second; files round the frame time, as .0083333 for 120."""
    return round(1 / bvh.frame_time, 2)


def _posed(bvh: BvhFile) -> PosedSkeleton:
    """The moving skeleton of the channels."""
    frames, count = len(bvh.values), len(bvh.joints)
    offsets = np.array([joint.offset for joint in bvh.joints])
    rotations, positions = np.tile(np.eye(3), (frames, count, 1, 1)), np.tile(offsets, (frames, 1, 1))
    column = 0
    for index, joint in enumerate(bvh.joints):
        values = bvh.values[:, column : column + len(joint.channels)]
        column += len(joint.channels)
        for channel, value in zip(joint.channels, values.T, strict=True):
            if channel.endswith("position"):  # It replaces the offset.
                positions[:, index, "XYZ".index(channel[0])] = value
        turning = [k for k, channel in enumerate(joint.channels) if channel.endswith("rotation")]
        if turning:
            order = "".join(joint.channels[k][0] for k in turning)
            angles = values[:, turning] if len(turning) > 1 else values[:, turning[0]]
            rotations[:, index] = Rotation.from_euler(order, angles, degrees=True).as_matrix()
    parents = [joint.parent for joint in bvh.joints]
    return pose_skeleton([joint.name for joint in bvh.joints], parents, offsets, rotations, positions)


def _walk(joint: int) -> list[int]:
    """The joint and all joints below it, depth first."""
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
