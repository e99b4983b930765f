"""Motion of two people, its augmentation (speed, mirror image, order, placement), and feet on the floor."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from closemesh.body.landmarks import sole_vertices
from closemesh.body.model import BodyModel
from closemesh.body.motion import transl_of
from closemesh.body.skeleton import JOINT_INDEX, JOINT_NAMES, other_side
from closemesh.body.skinning import skin
from closemesh.core.tensor_dataclass import TensorDataclass
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.lab.synthesis.key_poses import yaw_matrix
from closemesh.lab.synthesis.templates.schema import ContactConstraint
from closemesh.structures import NUM_BODY_JOINTS


@dataclass(frozen=True)
class PairMotion(TensorDataclass):
    """Two people (or one) over F frames. Frame: world, y up, floor y = 0, meters, radians.

    Betas are stored for every frame, so that frames of several pairs can form one record.
    """

    betas: Tensor  # [F, 2, B]
    rotations: Tensor  # [F, 2, 22, 3, 3] relative to the parent; joint 0 is R_world_root
    hand_pose: Tensor  # [F, 2, 30, 3] axis-angle, left hand first
    pelvis: Tensor  # [F, 2, 3] position of the pelvis joint

    def __len__(self) -> int:
        return len(self.pelvis)

    def corrected(self, rotvecs: Tensor, offset: Tensor) -> PairMotion:
        """Each joint turned by rotvecs [F, 2, 22, 3] in its own frame, the pelvis moved by offset [F, 2, 3]."""
        rotations = self.rotations @ axis_angle_to_matrix(rotvecs)
        return replace(self, rotations=rotations, pelvis=self.pelvis + offset)

    def all_rotations(self) -> Tensor:
        """Joint rotations [F, 2, 55, 3, 3]."""
        face = torch.eye(3).to(self.rotations).expand(*self.rotations.shape[:2], 3, 3, 3)
        return torch.cat([self.rotations, face, axis_angle_to_matrix(self.hand_pose)], dim=2)

    def skin(self, body: BodyModel) -> tuple[Tensor, Tensor]:
        """World-frame vertices [F, 2, V, 3] and joints [F, 2, 55, 3] on any variant or subset of the bundled body."""
        transl = transl_of(body, self.betas, self.pelvis)
        return skin(body, self.betas, self.all_rotations(), transl)


_MIRROR_JOINTS = [JOINT_INDEX[other_side(name)] for name in JOINT_NAMES[:NUM_BODY_JOINTS]]
_MIRROR = torch.tensor([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class HeldContact:
    """The contacts of a window, as vertices and as regions."""

    anchors: Tensor  # [K, 2] int64, vertices of a and of b
    constraints: tuple[ContactConstraint, ...]  # K

    @classmethod
    def none(cls) -> HeldContact:
        """No contact."""
        return cls(torch.zeros(0, 2, dtype=torch.int64), ())


@dataclass(frozen=True)
class ContactPoints:
    """K pairs of vertices in contact, and their relative position."""

    anchors: Tensor  # [K, 2] int64, vertices of a and of b
    offsets: Tensor  # [K, 3] meters from the one of b to the one of a


def resample(motion: PairMotion, frames: Tensor) -> PairMotion:
    """The motion at fractional frames [T]; rotations are interpolated on the geodesic."""
    before = frames.floor().long().clamp(max=max(len(motion) - 2, 0))
    after = (before + 1).clamp(max=len(motion) - 1)
    weight = frames - before  # [T]
    first, second = motion.frames(before), motion.frames(after)
    rotvecs = matrix_to_axis_angle(first.rotations.mT @ second.rotations) * weight[:, None, None, None]
    return PairMotion(
        betas=first.betas,
        rotations=first.rotations @ axis_angle_to_matrix(rotvecs),
        hand_pose=torch.lerp(first.hand_pose, second.hand_pose, weight[:, None, None, None]),
        pelvis=torch.lerp(first.pelvis, second.pelvis, weight[:, None, None]),
    )


def mirror(motion: PairMotion) -> PairMotion:
    """The motion mirrored in the plane x = 0. Betas do not change: shapes are symmetric to within a millimeter."""
    flip = torch.diag(_MIRROR)
    left, right = motion.hand_pose.chunk(2, dim=2)
    hands = torch.cat([right, left], dim=2) * -_MIRROR  # A rotation vector keeps its x and changes y and z.
    return replace(
        motion,
        rotations=flip @ motion.rotations[:, :, _MIRROR_JOINTS] @ flip,
        hand_pose=hands,
        pelvis=motion.pelvis * _MIRROR,
    )


def mirror_feet(foot_contact: Tensor) -> Tensor:
    """foot_contact [T, 2, 2] of person and foot, with left and right exchanged."""
    return foot_contact.flip(-1)


def mirror_contact(held: HeldContact, body: BodyModel) -> HeldContact:
    """The contacts on the other side; each anchor on `body` becomes the vertex nearest to its mirror image."""
    wanted = body.v_template[held.anchors] * _MIRROR.to(body.v_template)
    anchors = torch.cdist(wanted.flatten(0, 1), body.v_template).argmin(-1).view_as(held.anchors)
    return HeldContact(anchors, tuple(replace(c, a=other_side(c.a), b=other_side(c.b)) for c in held.constraints))


def swap_people(motion: PairMotion) -> PairMotion:
    """The motion with persons a and b exchanged."""
    return motion.map(lambda tensor: tensor.flip(1))


def swap_contact(held: HeldContact) -> HeldContact:
    """The contacts with persons a and b exchanged."""
    return HeldContact(held.anchors.flip(1), tuple(replace(c, a=c.b, b=c.a) for c in held.constraints))


def place(motion: PairMotion, yaw: Tensor, position: Tensor) -> PairMotion:
    """The motion turned about the vertical by yaw [] radians, the middle of its first frame at position [2] (x, z)."""
    R = yaw_matrix(yaw)
    pelvis = motion.pelvis @ R.T
    middle = pelvis[0, :, [0, 2]].mean(0)
    pelvis = pelvis.clone()
    pelvis[..., [0, 2]] += position - middle
    rotations = torch.cat([(R @ motion.rotations[:, :, 0])[:, :, None], motion.rotations[:, :, 1:]], dim=2)
    return replace(motion, rotations=rotations, pelvis=pelvis)


RESTING_HEIGHT = 0.02  # Meters below which the sole points of a standing foot rest on the floor.
HEIGHT_SIGMA = 3.0  # Frames, standard deviation of the Gaussian that smooths heights above the floor.


def sole_body(body: BodyModel) -> BodyModel:
    """The soles of a body only: 12 vertices of the left foot, then 12 of the right."""
    return body.subset(sole_vertices(body).flatten())


def align_feet_to_floor(motion: PairMotion, foot_contact: Tensor, soles: BodyModel) -> PairMotion:
    """The motion raised or lowered smoothly so that standing feet are at y = 0.

    foot_contact [T, 2, 2] bool, person and foot. A person who never stands is not moved.
    """
    vertices, _ = motion.skin(soles)
    height = vertices[..., 1].unflatten(-1, (2, -1)).amin(-1)  # [T, 2, 2]
    height = height.masked_fill(~foot_contact, torch.inf).amin(-1)  # [T, 2]
    rise = np.stack([_fill_and_smooth(height[:, person].numpy()) for person in range(2)], axis=-1)
    pelvis = motion.pelvis.clone()
    pelvis[..., 1] -= torch.as_tensor(rise, dtype=pelvis.dtype)
    return replace(motion, pelvis=pelvis)


def _fill_and_smooth(height: np.ndarray) -> np.ndarray:
    """Heights [T], interpolated over infinite values and smoothed in time; 0 when all are infinite."""
    known = np.flatnonzero(np.isfinite(height))
    if len(known) == 0:
        return np.zeros_like(height)
    filled = np.interp(np.arange(len(height)), known, height[known])
    return gaussian_filter1d(filled, HEIGHT_SIGMA, mode="nearest")
