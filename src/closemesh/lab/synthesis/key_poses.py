"""Key poses of pairs in contact, the captured poses they start from, and headings of bodies."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from closemesh.body.landmarks import LandmarkBody, pose_landmarks
from closemesh.body.loading import load_bundled_body, load_landmark_body
from closemesh.body.model import BodyModel
from closemesh.body.motion import transl_of
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.body.skinning import skin
from closemesh.core.errors import InputError
from closemesh.core.tensor_dataclass import TensorDataclass
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.lab.synthesis.templates.schema import InteractionTemplate
from closemesh.motion_files.sequence import MotionSequence
from closemesh.structures import NUM_BODY_JOINTS

SourceFrame = tuple[str, int]
"""Name of a motion sequence and one of its frames."""


@dataclass(frozen=True)
class KeyPoses(TensorDataclass):
    """N pairs of person a (0) and person b (1) in contact. Frame: world, y up, floor y = 0, meters, radians."""

    template: InteractionTemplate
    body_model: str
    """The body that the betas belong to; the variants of the bundled body use the same betas."""
    betas: Tensor  # [N, 2, B]
    root: Tensor  # [N, 2, 3] axis-angle of R_world_root
    body_pose: Tensor  # [N, 2, 21, 3] axis-angle
    hand_pose: Tensor  # [N, 2, 30, 3] axis-angle, left hand first
    pelvis: Tensor  # [N, 2, 3] position of the pelvis joint
    anchors: Tensor  # [N, K, 2] int64, vertices of a and of b that touch in contact k, on the `light` bundled body
    sources: tuple[tuple[SourceFrame, SourceFrame], ...]
    """N pairs: the frames that the poses of a and of b started from."""
    accepted: Tensor  # [N] bool
    contact_error: Tensor  # [N, K] meters between the two surfaces at the contact
    depth: Tensor  # [N] meters, deepest vertex of either inside the other
    limit_excess: Tensor  # [N] radians beyond a joint's range, maximum of both
    floor_error: Tensor  # [N] meters, largest distance of a support from the floor or depth below it

    def __len__(self) -> int:
        return len(self.betas)

    def where(self, mask: Tensor) -> KeyPoses:
        """The pairs for which `mask` [N] is True."""
        sources = tuple(source for source, selected in zip(self.sources, mask.tolist(), strict=True) if selected)
        return replace(self.frames(mask), sources=sources)

    def rotations(self) -> Tensor:
        """Joint rotations [N, 2, 55, 3, 3] relative to the parent; joint 0 is R_world_root."""
        face = self.body_pose.new_zeros(len(self), 2, 3, 3)
        axis_angle = torch.cat([self.root[:, :, None], self.body_pose, face, self.hand_pose], dim=2)
        return axis_angle_to_matrix(axis_angle)

    def transl(self, body: BodyModel) -> Tensor:
        """SMPL-X translation [N, 2, 3] in meters on `body`."""
        return transl_of(body, self.betas, self.pelvis)

    def vertices(self, body: BodyModel) -> Tensor:
        """World-frame vertices [N, 2, V, 3] in meters on any variant of the bundled body."""
        return skin(body, self.betas, self.rotations(), self.transl(body))[0]


_MAX_PELVIS_TILT = math.radians(15)
_MAX_TRUNK_LEAN = math.radians(20)
_MAX_KNEE_BEND = math.radians(40)
_MAX_HAND_DISTANCE = 0.45  # Meters from the chest along the floor.
_MAX_SOLE_DIFFERENCE = 0.06  # Meters of height between the two soles.
_MAX_STRIDE = 0.40  # Meters between the ankles.


@dataclass(frozen=True)
class SourcePoses:
    """S poses of single people who stand or walk with low hands, heading removed: they face +z. Radians."""

    root: Tensor  # [S, 3] axis-angle
    body_pose: Tensor  # [S, 21, 3] axis-angle
    frames: tuple[SourceFrame, ...]  # S captured frames

    def __len__(self) -> int:
        return len(self.root)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, tuple[SourceFrame, ...]]:
        """Root [count, 3], body_pose [count, 21, 3] and source frames of randomly drawn poses."""
        chosen = torch.randint(len(self), (count,), generator=generator)
        return self.root[chosen], self.body_pose[chosen], tuple(self.frames[i] for i in chosen.tolist())


def find_source_poses(sequences: Iterable[MotionSequence], spacing: float = 0.5) -> SourcePoses:
    """Upright poses with both feet about level and low hands; candidates are `spacing` seconds apart.

    Raises InputError when there is none.
    """
    body = load_landmark_body(load_bundled_body("light"))
    found = [
        _upright_poses(sequence, person, spacing, body)
        for sequence in sequences
        for person in range(sequence.num_people)
    ]
    frames = tuple(frame for _, _, part in found for frame in part)
    if not frames:
        raise InputError("no captured pose of a standing person found; give motion of people who stand or walk")
    return SourcePoses(torch.cat([root for root, *_ in found]), torch.cat([pose for _, pose, _ in found]), frames)


def _upright_poses(
    sequence: MotionSequence, person: int, spacing: float, body: LandmarkBody
) -> tuple[Tensor, Tensor, tuple[SourceFrame, ...]]:
    """Root [S, 3], body_pose [S, 21, 3] and source frames of the upright poses of one person."""
    step = max(round(spacing * sequence.fps), 1)
    frames = np.arange(0, len(sequence), step)
    frames = frames[sequence.valid[frames, person]]
    R = torch.as_tensor(sequence.rotations[frames, person], dtype=torch.float32)
    R = torch.cat([remove_heading(R[:, :1]), R[:, 1:]], dim=1)
    upright = _is_upright(R, body).numpy()
    axis_angle = matrix_to_axis_angle(R[upright, :NUM_BODY_JOINTS])
    return axis_angle[:, 0], axis_angle[:, 1:], tuple((sequence.name, int(frame)) for frame in frames[upright])


def _is_upright(rotations: Tensor, body: LandmarkBody) -> Tensor:
    """[N] bool: the person of rotations [N, 55, 3, 3] stands or walks upright, hands low and close to the body."""
    betas, transl = torch.zeros(1, body.num_betas), torch.zeros(len(rotations), 1, 3)
    posed = pose_landmarks(body, betas, rotations[:, None], transl)
    soles = posed.soles[:, 0, :, :, 1].amin(-1)  # [N, 2]
    ankles = posed.joints[:, 0, [JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]]]
    knees = matrix_to_axis_angle(rotations[:, [JOINT_INDEX["left_knee"], JOINT_INDEX["right_knee"]]]).norm(dim=-1)
    chest = posed.joints[:, 0, JOINT_INDEX["spine3"]]
    wrists = posed.joints[:, 0, [JOINT_INDEX["left_wrist"], JOINT_INDEX["right_wrist"]]] - chest[:, None]
    spine = posed.joints[:, 0, JOINT_INDEX["neck"]] - posed.joints[:, 0, JOINT_INDEX["pelvis"]]
    upright = (rotations[:, 0, 1, 1] > math.cos(_MAX_PELVIS_TILT)) & (
        spine[:, 1] > math.cos(_MAX_TRUNK_LEAN) * spine.norm(dim=-1)
    )
    low_hands = (wrists[..., 1] < 0).all(-1) & (wrists[..., [0, 2]].norm(dim=-1) < _MAX_HAND_DISTANCE).all(-1)
    level = (soles[:, 0] - soles[:, 1]).abs() < _MAX_SOLE_DIFFERENCE
    short_stride = (ankles[:, 0] - ankles[:, 1]).norm(dim=-1) < _MAX_STRIDE
    return upright & low_hands & level & (knees < _MAX_KNEE_BEND).all(-1) & short_stride


def heading(R_world_root: Tensor) -> Tensor:
    """Yaw [...] in radians of the forward axis of R_world_root [..., 3, 3]: 0 along z, positive towards x."""
    return torch.atan2(R_world_root[..., 0, 2], R_world_root[..., 2, 2])


def yaw_matrix(yaw: Tensor) -> Tensor:
    """Rotations [..., 3, 3] about the vertical by yaw [...] radians."""
    zero = torch.zeros_like(yaw)
    return axis_angle_to_matrix(torch.stack([zero, yaw, zero], dim=-1))


def remove_heading(R_world_root: Tensor) -> Tensor:
    """R_world_root [..., 3, 3] turned about the vertical so that the pelvis faces +z."""
    return yaw_matrix(-heading(R_world_root)) @ R_world_root


def nearest_yaw(R: Tensor) -> Tensor:
    """Yaw [...] in radians of the rotation about the vertical that is nearest to rotations R [..., 3, 3]."""
    return torch.atan2(R[..., 0, 2] - R[..., 2, 0], R[..., 0, 0] + R[..., 2, 2])
