"""A batch of bodies of fixed shapes whose surface points are posed one by one, without the whole skin."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skinning import forward_kinematics, rest_joints, shaped_template
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.interactions.hands import bend_directions
from closemesh.interactions.regions import rest_normals

_TIP = 0.02  # Metres along the normal at which a second skinned point stands, whose direction is the posed normal.


@dataclass(frozen=True)
class PoseVariables:
    """What a solver changes of M bodies. Frame: world, metres, radians."""

    root: Tensor  # [M, 3] axis-angle of R_world_root
    body_pose: Tensor  # [M, 21, 3] axis-angle
    pelvis: Tensor  # [M, 3]
    bend: Tensor  # [M, 2, 6] how far the fingers of the left and right hand give (`hands.bend_directions`), radians

    def tensors(self) -> dict[str, Tensor]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def detached(self) -> PoseVariables:
        return PoseVariables(**{name: tensor.detach().clone() for name, tensor in self.tensors().items()})


@dataclass(frozen=True)
class PosedBodies:
    """Where the joints of M bodies are, and what moves their surface points."""

    shapes: BodyShapes
    joints: Tensor  # [M, 55, 3] world, metres
    transforms: Tensor  # [M, 55, 3, 4] from the shaped zero pose to the world

    def points(self, ids: Tensor) -> Tensor:
        """World points [M, N, 3] of the vertices ids [M, N] or [N]."""
        return self._skin(self.shapes.rest, ids)

    def points_and_normals(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The same with unit outward normals [M, N, 3]."""
        points = self._skin(self.shapes.rest, ids)
        offsets = self._skin(self.shapes.rest_tips, ids) - points
        return points, offsets / torch.linalg.vector_norm(offsets, dim=-1, keepdim=True).clamp(min=1e-6)

    def _skin(self, rest: Tensor, ids: Tensor) -> Tensor:
        if ids.ndim == 1:
            chosen, weights = rest[:, ids], self.shapes.weights[ids]
        else:
            chosen = rest.gather(1, ids[..., None].expand(-1, -1, 3))
            weights = self.shapes.weights[ids]  # [M, N, 55]
        blended = (weights @ self.transforms.flatten(-2)).unflatten(-1, (3, 4))  # [M, N, 3, 4]
        return (blended[..., :3] * chosen[..., None, :]).sum(-1) + blended[..., 3]


@dataclass(frozen=True)
class BodyShapes:
    """The shaped zero pose of M bodies, and the shape of their hands."""

    rest: Tensor  # [M, V, 3]
    rest_tips: Tensor  # [M, V, 3] each vertex moved a little along its normal
    joints_rest: Tensor  # [M, 55, 3]
    weights: Tensor  # [V, 55]
    hands: Tensor  # [M, 2, 15, 3] axis-angle of the fingers before they give
    bends: Tensor  # [2, 6, 15, 3] what they give

    def pose(self, variables: PoseVariables) -> PosedBodies:
        """The bodies in a pose."""
        rotations = axis_angle_to_matrix(self.axis_angle(variables))
        turned, joints = forward_kinematics(rotations, self.joints_rest)
        joints = joints + (variables.pelvis - self.joints_rest[:, 0])[:, None]
        offsets = joints - (turned @ self.joints_rest[..., None])[..., 0]
        return PosedBodies(self, joints, torch.cat([turned, offsets[..., None]], dim=-1))

    def axis_angle(self, variables: PoseVariables) -> Tensor:
        """All joints [M, 55, 3]."""
        face = variables.body_pose.new_zeros(len(variables.root), 3, 3)
        fingers = self.finger_pose(variables)
        return torch.cat([variables.root[:, None], variables.body_pose, face, fingers], dim=1)

    def finger_pose(self, variables: PoseVariables) -> Tensor:
        """Fingers [M, 30, 3], left hand first."""
        return (self.hands + torch.einsum("msk,skjd->msjd", variables.bend, self.bends)).flatten(1, 2)

    def where(self, chosen: Tensor) -> BodyShapes:
        """Some of the bodies."""
        names = ("rest", "rest_tips", "joints_rest", "hands")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})


def shape_bodies(body: BodyModel, betas: Tensor, hands: Tensor) -> BodyShapes:
    """The bodies of betas [M, B] with hands [M, 30, 3]."""
    rest = shaped_template(body, betas)
    return BodyShapes(
        rest=rest,
        rest_tips=rest + _TIP * rest_normals(body),
        joints_rest=rest_joints(body, betas),
        weights=body.skin_weights,
        hands=hands.unflatten(1, (2, 15)),
        bends=bend_directions(rest),
    )
