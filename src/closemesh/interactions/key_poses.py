"""The record of solved key poses: pairs of people in the moment in which they touch."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skinning import rest_joints, skin
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.interactions.recipe import Recipe

SourceFrame = tuple[str, int]
"""Name of a motion sequence and one of its frames."""


@dataclass(frozen=True)
class KeyPoses:
    """N pairs of person a (0) and person b (1). Frame: world, y up, floor y = 0, metres, radians."""

    recipe: Recipe
    body_model: str
    """The body that the betas belong to; the variants of the open body share them."""
    betas: Tensor  # [N, 2, B]
    root: Tensor  # [N, 2, 3] axis-angle of R_world_root
    body_pose: Tensor  # [N, 2, 21, 3] axis-angle
    hand_pose: Tensor  # [N, 2, 30, 3] axis-angle, left hand first
    pelvis: Tensor  # [N, 2, 3] position of the pelvis joint
    anchors: Tensor  # [N, K, 2] int64, vertex of a and of b that meet in touch k, on the `light` open body
    sources: tuple[tuple[SourceFrame, SourceFrame], ...]
    """N times where the pose of a and of b began."""
    accepted: Tensor  # [N] bool
    contact_error: Tensor  # [N, K] metres between the two surfaces at the touch
    depth: Tensor  # [N] metres, deepest point of either inside the other
    limit_excess: Tensor  # [N] radians beyond a joint's range, the worst of both
    floor_error: Tensor  # [N] metres, the worst sinking, or floating of somebody who should be on the floor

    def __len__(self) -> int:
        return len(self.betas)

    def where(self, chosen: Tensor) -> KeyPoses:
        """Only the pairs that are `chosen` [N] bool."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        kept = {name: value[chosen] for name, value in tensors.items() if isinstance(value, Tensor)}
        sources = tuple(source for source, keep in zip(self.sources, chosen.tolist(), strict=True) if keep)
        return replace(self, **kept, sources=sources)

    def rotations(self) -> Tensor:
        """Joint rotations [N, 2, 55, 3, 3] relative to the parent; joint 0 is R_world_root."""
        face = self.body_pose.new_zeros(len(self), 2, 3, 3)
        axis_angle = torch.cat([self.root[:, :, None], self.body_pose, face, self.hand_pose], dim=2)
        return axis_angle_to_matrix(axis_angle)

    def transl(self, body: BodyModel) -> Tensor:
        """SMPL-X translation [N, 2, 3] in metres on `body`."""
        return self.pelvis - rest_joints(body, self.betas)[..., 0, :]

    def vertices(self, body: BodyModel) -> Tensor:
        """World-frame vertices [N, 2, V, 3] in metres on any variant of the body."""
        return skin(body, self.betas, self.rotations(), self.transl(body))[0]
