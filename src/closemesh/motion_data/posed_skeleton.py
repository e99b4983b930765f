"""A skeleton of anybody's making in motion: what a motion-capture file says once its own conventions are undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from closemesh.scene import Floats


@dataclass(frozen=True)
class PosedSkeleton:
    """World frame and unit of length of the file; a parent stands before its children, the root's is -1."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    rest: Floats
    """[J, 3] joints in the rest pose."""
    rotations: Floats
    """[T, J, 3, 3] rotation of what hangs on each joint, from the rest pose to the frame."""
    positions: Floats
    """[T, J, 3]."""


def pose_skeleton(
    names: Sequence[str], parents: Sequence[int], offsets: Floats, local_rotations: Floats, local_positions: Floats
) -> PosedSkeleton:
    """Forward kinematics of any tree.

    offsets [J, 3] of each joint from its parent at rest, local_rotations [T, J, 3, 3], and local_positions [T, J, 3]
    or [1, J, 3], the offsets as they are in each frame.
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
