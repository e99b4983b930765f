"""BVH: a skeleton with the bone lengths of the person, and its rotations.

BVH has no unit and no up axis: lengths are meters here, as in all files of closemesh. Joints have SMPL-X names. The
channels of a joint are Zrotation Xrotation Yrotation: R = Rz Rx Ry, in degrees.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from closemesh.body.skeleton import JOINT_NAMES, PARENTS
from closemesh.core.arrays import Floats
from closemesh.interchange.scene import ExportedScene, SkeletalAnimation, skeletal_animation

_ROTATIONS = "Zrotation Xrotation Yrotation"
_POSITIONS = "Xposition Yposition Zposition"
_END = 0.5  # Length of the last bone of a chain, of the bone before it.


def write_bvh(scene: ExportedScene, folder: Path) -> None:
    """Write `folder`/person_00.bvh and so on, at a constant rate. The folder exists."""
    scene = scene.at_constant_rate()
    for index, name in enumerate(scene.people):
        animation = skeletal_animation(scene, index)
        lines = [*_hierarchy(animation.joints_rest), *_motion(animation, scene.clip.fps)]
        (folder / f"{name}.bvh").write_text("\n".join(lines) + "\n", encoding="ascii")


def _order() -> list[int]:
    """Joints in the order of the file: each before its children, a whole chain before the next one."""

    def below(joint: int) -> Iterator[int]:
        yield joint
        for child, parent in enumerate(PARENTS):
            if parent == joint:
                yield from below(child)

    return list(below(0))


def _hierarchy(joints_rest: Floats) -> Iterator[str]:
    """Lines of the section HIERARCHY from joints_rest [55, 3]; the position of the pelvis is in its channels."""

    def below(joint: int, depth: int) -> Iterator[str]:
        indent, parent = "\t" * depth, PARENTS[joint]
        bone = joints_rest[joint] - joints_rest[parent] if parent >= 0 else np.zeros(3)
        yield f"{indent}{'JOINT' if parent >= 0 else 'ROOT'} {JOINT_NAMES[joint]}"
        yield f"{indent}{{"
        yield f"{indent}\tOFFSET {_numbers(bone)}"
        yield f"{indent}\tCHANNELS " + (f"3 {_ROTATIONS}" if parent >= 0 else f"6 {_POSITIONS} {_ROTATIONS}")
        children = [child for child, above in enumerate(PARENTS) if above == joint]
        for child in children:
            yield from below(child, depth + 1)
        if not children:
            yield from (f"{indent}\tEnd Site", f"{indent}\t{{", f"{indent}\t\tOFFSET {_numbers(_END * bone)}")
            yield f"{indent}\t}}"
        yield f"{indent}}}"

    yield "HIERARCHY"
    yield from below(0, 0)


def _motion(animation: SkeletalAnimation, rate: float) -> Iterator[str]:
    """Lines of the section MOTION."""
    angles = _euler_angles(animation.rotations)[:, _order()]  # [T, 55, 3]
    rows = np.concatenate([animation.pelvis, angles.reshape(len(angles), -1)], axis=1)
    yield from ("MOTION", f"Frames: {len(rows)}", f"Frame Time: {1 / rate:.8f}")
    yield from map(_numbers, rows)


def _euler_angles(rotations: Floats) -> Floats:
    """Angles [T, 55, 3] about z, x and y in degrees of rotations [T, 55, 3, 3], without jumps by 360 degrees."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # At gimbal lock one angle is free, and the rotation is right.
        angles = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_euler("ZXY", degrees=True)
    return np.unwrap(angles.reshape(*rotations.shape[:2], 3), period=360, axis=0)


def _numbers(values: Floats) -> str:
    return " ".join(f"{value:.6f}" for value in values)
