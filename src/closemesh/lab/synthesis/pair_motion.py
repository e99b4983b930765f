"""PairMotion, augmentation, floor heights.

Motion of two people, and of several pairs at once: what is blended, corrected, checked and written.

The same window otherwise: faster or slower, mirrored, turned, moved, the two people exchanged.

Standing feet on the floor: heights of bodies whose legs are not those that were captured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from closemesh.body.landmarks import sole_vertices
from closemesh.body.model import BodyModel
from closemesh.body.motion import transl_of
from closemesh.body.skeleton import JOINT_INDEX, JOINT_NAMES, other_side
from closemesh.body.skinning import skin
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.lab.synthesis.key_poses import yaw_matrix
from closemesh.lab.synthesis.templates.schema import ContactConstraint
from closemesh.structures import NUM_BODY_JOINTS


@dataclass(frozen=True)
class PairMotion:
    """Two people (or one) over F frames. Frame: world, y up, floor y = 0, metres, radians.

    The shape stands with each frame, so that frames of several pairs are one record.
    """

    betas: Tensor  # [F, 2, B]
    rotations: Tensor  # [F, 2, 22, 3, 3] relative to the parent; joint 0 is R_world_root
    hand_pose: Tensor  # [F, 2, 30, 3] axis-angle, left hand first
    pelvis: Tensor  # [F, 2, 3] position of the pelvis joint

    def __len__(self) -> int:
        return len(self.pelvis)

    def frames(self, index: slice | Tensor) -> PairMotion:
        """Some of the frames."""
        return PairMotion(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def moved(self, rotation_vectors: Tensor, offset: Tensor) -> PairMotion:
        """The same with each joint turned further by [F, 2, 22, 3] in its own frame, the pelvis moved by [F, 2, 3]."""
        turned = self.rotations @ axis_angle_to_matrix(rotation_vectors)
        return replace(self, rotations=turned, pelvis=self.pelvis + offset)

    def all_rotations(self) -> Tensor:
        """Joint rotations [F, 2, 55, 3, 3]."""
        face = torch.eye(3).to(self.rotations).expand(*self.rotations.shape[:2], 3, 3, 3)
        return torch.cat([self.rotations, face, axis_angle_to_matrix(self.hand_pose)], dim=2)

    def skin(self, body: BodyModel) -> tuple[Tensor, Tensor]:
        """World-frame vertices [F, 2, V, 3] and joints [F, 2, 55, 3] on any variant or subset of the body."""
        transl = transl_of(body, self.betas, self.pelvis)
        return skin(body, self.betas, self.all_rotations(), transl)


def join_pairs(parts: Sequence[PairMotion]) -> PairMotion:
    """The frames of several motions as one."""
    return PairMotion(**{f.name: torch.cat([getattr(p, f.name) for p in parts]) for f in fields(PairMotion)})


_OTHER_JOINT = [JOINT_INDEX[other_side(name)] for name in JOINT_NAMES[:NUM_BODY_JOINTS]]
_FLIP = torch.tensor([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class HeldContact:
    """What is held in a window, by place and by name."""

    anchors: Tensor  # [K, 2] int64, vertices of a and of b
    touches: tuple[ContactConstraint, ...]  # K


def played_at(motion: PairMotion, frames: Tensor) -> PairMotion:
    """The motion at moments [T] between its frames."""
    before = frames.floor().long().clamp(max=max(len(motion) - 2, 0))
    after = (before + 1).clamp(max=len(motion) - 1)
    share = frames - before  # [T]
    here, there = motion.frames(before), motion.frames(after)
    turns = matrix_to_axis_angle(here.rotations.mT @ there.rotations) * share[:, None, None, None]
    return PairMotion(
        betas=here.betas,
        rotations=here.rotations @ axis_angle_to_matrix(turns),
        hand_pose=torch.lerp(here.hand_pose, there.hand_pose, share[:, None, None, None]),
        pelvis=torch.lerp(here.pelvis, there.pelvis, share[:, None, None]),
    )


def mirror(motion: PairMotion) -> PairMotion:
    """Left and right exchanged, in the plane x = 0. Shapes are symmetric to within a millimetre, so they stay."""
    flip = torch.diag(_FLIP)
    left, right = motion.hand_pose.chunk(2, dim=2)
    hands = torch.cat([right, left], dim=2) * -_FLIP  # A rotation vector keeps its x and changes y and z.
    return replace(
        motion,
        rotations=flip @ motion.rotations[:, :, _OTHER_JOINT] @ flip,
        hand_pose=hands,
        pelvis=motion.pelvis * _FLIP,
    )


def mirror_standing(standing: Tensor) -> Tensor:
    """Standing feet [T, 2, 2] with left and right exchanged."""
    return standing.flip(-1)


def mirror_held(held: HeldContact, body: BodyModel) -> HeldContact:
    """The vertices and regions of the other side; anchors of the given body, the nearest vertex standing for each."""
    wanted = body.v_template[held.anchors] * _FLIP.to(body.v_template)
    anchors = torch.cdist(wanted.flatten(0, 1), body.v_template).argmin(-1).view_as(held.anchors)
    return HeldContact(anchors, tuple(replace(t, a=other_side(t.a), b=other_side(t.b)) for t in held.touches))


def swap(motion: PairMotion) -> PairMotion:
    """Person a becomes b."""
    return PairMotion(motion.betas.flip(1), motion.rotations.flip(1), motion.hand_pose.flip(1), motion.pelvis.flip(1))


def swap_held(held: HeldContact) -> HeldContact:
    """The same touches after `swap`."""
    return HeldContact(held.anchors.flip(1), tuple(replace(t, a=t.b, b=t.a) for t in held.touches))


def turn(motion: PairMotion, yaw: Tensor, to: Tensor) -> PairMotion:
    """Turned about the vertical by yaw [] radians; the middle of the first frame comes to `to` [2] (x, z), metres."""
    R = yaw_matrix(yaw)
    pelvis = motion.pelvis @ R.T
    middle = pelvis[0, :, [0, 2]].mean(0)
    pelvis = pelvis.clone()
    pelvis[..., [0, 2]] += to - middle
    rotations = torch.cat([(R @ motion.rotations[:, :, 0])[:, :, None], motion.rotations[:, :, 1:]], dim=2)
    return replace(motion, rotations=rotations, pelvis=pelvis)


_SMOOTH = 3.0  # Frames, standard deviation of the Gaussian over heights.


def sole_body(body: BodyModel) -> BodyModel:
    """Only the soles of a body: 12 vertices of the left foot, then 12 of the right."""
    return body.subset(sole_vertices(body).flatten())


def settle_on_floor(motion: PairMotion, standing: Tensor, soles: BodyModel) -> PairMotion:
    """The motion raised or lowered smoothly so that feet that stand do so at y = 0.

    standing [T, 2, 2] bool, person and foot; somebody who never stands stays where he is.
    """
    vertices, _ = motion.skin(soles)
    height = vertices[..., 1].unflatten(-1, (2, -1)).amin(-1)  # [T, 2, 2]
    height = height.masked_fill(~standing, torch.inf).amin(-1)  # [T, 2]
    rise = np.stack([_smooth(height[:, person].numpy()) for person in range(2)], axis=-1)
    pelvis = motion.pelvis.clone()
    pelvis[..., 1] -= torch.as_tensor(rise, dtype=pelvis.dtype)
    return replace(motion, pelvis=pelvis)


def _smooth(height: np.ndarray) -> np.ndarray:
    """Heights [T] without the gaps (inf) in which nobody stands, smooth in time."""
    known = np.flatnonzero(np.isfinite(height))
    if len(known) == 0:
        return np.zeros_like(height)
    filled = np.interp(np.arange(len(height)), known, height[known])
    return gaussian_filter1d(filled, _SMOOTH, mode="nearest")
