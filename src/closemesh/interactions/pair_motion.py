"""Motion of two people, and of several pairs at once: what is blended, corrected, checked and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skinning import rest_joints, skin
from closemesh.geometry.rotations import axis_angle_to_matrix


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
        transl = self.pelvis - rest_joints(body, self.betas)[..., 0, :]
        return skin(body, self.betas, self.all_rotations(), transl)


def join_pairs(parts: Sequence[PairMotion]) -> PairMotion:
    """The frames of several motions as one."""
    return PairMotion(**{f.name: torch.cat([getattr(p, f.name) for p in parts]) for f in fields(PairMotion)})
