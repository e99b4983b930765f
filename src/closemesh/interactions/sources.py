"""Real single poses that key poses start from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from closemesh.body.load import fitting_points, load_open_body
from closemesh.body.points import PointBody, pose_points
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.errors import InputError
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.interactions.key_poses import SourceFrame
from closemesh.motion_data.sequence import MotionSequence
from closemesh.scene import NUM_BODY_JOINTS

_TILT = math.radians(15)  # Of an upright pelvis.
_LEAN = math.radians(20)  # Of an upright chest.
_BEND = math.radians(40)  # Of the knees of somebody who stands or walks.
_REACH = 0.45  # Metres that calm hands are from the chest, along the floor.
_FEET_APART = 0.06  # Metres of height between the two soles.
_STRIDE = 0.40  # Metres between the ankles.


@dataclass(frozen=True)
class SourcePoses:
    """S poses of single people who stand or walk with calm hands, heading taken out: they look along +z. Radians."""

    root: Tensor  # [S, 3] axis-angle
    body_pose: Tensor  # [S, 21, 3] axis-angle
    frames: tuple[SourceFrame, ...]  # S times where they come from

    def __len__(self) -> int:
        return len(self.root)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, tuple[SourceFrame, ...]]:
        """Root [count, 3], body_pose [count, 21, 3] and frames of poses chosen at random."""
        chosen = torch.randint(len(self), (count,), generator=generator)
        return self.root[chosen], self.body_pose[chosen], tuple(self.frames[i] for i in chosen.tolist())


def find_source_poses(sequences: Iterable[MotionSequence], spacing: float = 0.5) -> SourcePoses:
    """The upright poses with both feet about on the floor and the hands low, one every `spacing` seconds.

    Raises InputError when there is none.
    """
    body = fitting_points(load_open_body("light"))
    found = [
        _upright_poses(sequence, person, spacing, body)
        for sequence in sequences
        for person in range(sequence.num_people)
    ]
    frames = tuple(frame for _, _, part in found for frame in part)
    if not frames:
        raise InputError("no captured pose of a standing person found; give motion of people who stand or walk")
    return SourcePoses(torch.cat([root for root, *_ in found]), torch.cat([pose for _, pose, _ in found]), frames)


def take_heading_out(R_world_root: Tensor) -> Tensor:
    """The same rotations [..., 3, 3] turned about the vertical so that the pelvis looks along +z."""
    forward = R_world_root[..., :, 2]
    yaw = torch.atan2(forward[..., 0], forward[..., 2])
    turn = torch.zeros_like(forward)
    turn[..., 1] = -yaw
    return axis_angle_to_matrix(turn) @ R_world_root


def _upright_poses(
    sequence: MotionSequence, person: int, spacing: float, body: PointBody
) -> tuple[Tensor, Tensor, tuple[SourceFrame, ...]]:
    """Roots, poses and frames of one person that pass."""
    step = max(round(spacing * sequence.fps), 1)
    frames = np.arange(0, len(sequence), step)
    frames = frames[sequence.valid[frames, person]]
    R = torch.as_tensor(sequence.rotations[frames, person], dtype=torch.float32)
    R = torch.cat([take_heading_out(R[:, :1]), R[:, 1:]], dim=1)
    passed = _stands(R, body).numpy()
    axis_angle = matrix_to_axis_angle(R[passed, :NUM_BODY_JOINTS])
    return axis_angle[:, 0], axis_angle[:, 1:], tuple((sequence.name, int(frame)) for frame in frames[passed])


def _stands(rotations: Tensor, body: PointBody) -> Tensor:
    """[N] bool of rotations [N, 55, 3, 3]."""
    betas, transl = torch.zeros(1, body.num_betas), torch.zeros(len(rotations), 1, 3)
    posed = pose_points(body, betas, rotations[:, None], transl)
    soles = posed.soles[:, 0, :, :, 1].amin(-1)  # [N, 2]
    ankles = posed.joints[:, 0, [JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]]]
    knees = matrix_to_axis_angle(rotations[:, [JOINT_INDEX["left_knee"], JOINT_INDEX["right_knee"]]]).norm(dim=-1)
    upright = rotations[:, 0, 1, 1] > math.cos(_TILT)
    level = (soles[:, 0] - soles[:, 1]).abs() < _FEET_APART
    chest = posed.joints[:, 0, JOINT_INDEX["spine3"]]
    wrists = posed.joints[:, 0, [JOINT_INDEX["left_wrist"], JOINT_INDEX["right_wrist"]]] - chest[:, None]
    calm = (wrists[..., 1] < 0).all(-1) & (wrists[..., [0, 2]].norm(dim=-1) < _REACH).all(-1)
    spine = posed.joints[:, 0, JOINT_INDEX["neck"]] - posed.joints[:, 0, JOINT_INDEX["pelvis"]]
    upright &= spine[:, 1] > math.cos(_LEAN) * spine.norm(dim=-1)
    return upright & calm & level & (knees < _BEND).all(-1) & ((ankles[:, 0] - ankles[:, 1]).norm(dim=-1) < _STRIDE)
