"""Batched differentiable linear blend skinning of any SMPL-X-layout body (Loper et al. 2015, Pavlakos et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import PARENTS


def rest_joints(body: BodyModel, betas: Tensor, expression: Tensor | None = None) -> Tensor:
    """Joints [..., 55, 3] of the shaped body in the zero pose, meters; betas [..., B], expression [..., E]."""
    return body.joint_template + torch.einsum(
        "...k,jdk->...jd", _coefficients(body, betas, expression), body.joint_shape_dirs
    )


def shaped_template(body: BodyModel, betas: Tensor, expression: Tensor | None = None) -> Tensor:
    """Vertices [..., V, 3] of the shaped body in the zero pose, meters; betas [..., B], expression [..., E]."""
    directions = torch.cat([body.shape_dirs, body.expression_dirs], dim=-1).flatten(0, 1)  # [V * 3, B + E]
    offsets = _coefficients(body, betas, expression) @ directions.T
    return body.v_template + offsets.unflatten(-1, (-1, 3))


def forward_kinematics(rotations: Tensor, joints_rest: Tensor) -> tuple[Tensor, Tensor]:
    """Global rotations [..., J, 3, 3] and positions [..., J, 3] of the joints, with the pelvis at its rest position.

    rotations [..., J, 3, 3] relative to the parent, joints_rest [..., J, 3] in meters; J is 55, or less for the first
    joints only. The joints of one level of the tree are computed together.
    """
    tree = _joint_tree(joints_rest.shape[-2], joints_rest.device)
    batch = torch.broadcast_shapes(rotations.shape[:-3], joints_rest.shape[:-2])
    bones = joints_rest - tree.has_parent[:, None] * joints_rest.index_select(-2, tree.parent)
    local = torch.cat([x.expand(*batch, *x.shape[len(x.shape) - 3 :]) for x in (rotations, bones[..., None])], dim=-1)
    pelvis, *below = local.index_select(-3, tree.by_level).split(tree.sizes, dim=-3)  # [..., n, 3, 4]
    moved = [pelvis]
    for level, parents in zip(below, tree.parents_above, strict=True):
        above = moved[-1].index_select(-3, parents)
        moved.append(above[..., :3] @ level + F.pad(above[..., 3:], (3, 0)))
    transforms = torch.cat(moved, dim=-3).index_select(-3, tree.in_order)
    return transforms[..., :3], transforms[..., 3]


def posed_joints(
    body: BodyModel, betas: Tensor, rotations: Tensor, transl: Tensor, expression: Tensor | None = None
) -> Tensor:
    """Joints [..., 55, 3] in the frame of transl [..., 3], meters, without skinning.

    betas [..., B], rotations [..., 55, 3, 3] relative to the parent, expression [..., E].
    """
    _, joints = forward_kinematics(rotations, rest_joints(body, betas, expression))
    return joints + transl[..., None, :]


def skin(
    body: BodyModel, betas: Tensor, rotations: Tensor, transl: Tensor, expression: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Vertices [..., V, 3] and joints [..., 55, 3] in the frame of transl, meters.

    betas [..., B], rotations [..., 55, 3, 3] relative to the parent, transl [..., 3], expression [..., E]; leading
    dimensions broadcast.
    """
    joints_rest = rest_joints(body, betas, expression)
    global_rotations, joints = forward_kinematics(rotations, joints_rest)
    vertices = shaped_template(body, betas, expression)
    if body.pose_dirs is not None:
        feature = (rotations[..., 1:, :, :] - torch.eye(3, dtype=rotations.dtype, device=rotations.device)).flatten(-3)
        vertices = vertices + (feature @ body.pose_dirs).unflatten(-1, (-1, 3))
    offsets = joints + transl[..., None, :] - (global_rotations @ joints_rest[..., None])[..., 0]
    joint_transforms = torch.cat([global_rotations, offsets[..., None]], dim=-1)  # [..., 55, 3, 4]
    blended = (body.skin_weights @ joint_transforms.flatten(-2)).unflatten(-1, (3, 4))  # [..., V, 3, 4]
    posed = (blended[..., :3] @ vertices[..., None])[..., 0] + blended[..., 3]
    return posed, joints + transl[..., None, :]


def wholebody_keypoints(body: BodyModel, vertices: Tensor, joints: Tensor) -> Tensor:
    """COCO-WholeBody keypoints [..., 133, 3] of skinned vertices [..., V, 3] and joints [..., 55, 3]."""
    return body.keypoint_joints @ joints + body.keypoint_vertices @ vertices[..., body.keypoint_vertex_ids, :]


def _coefficients(body: BodyModel, betas: Tensor, expression: Tensor | None) -> Tensor:
    if expression is None:
        expression = betas.new_zeros(*betas.shape[:-1], body.num_expressions)
    batch = torch.broadcast_shapes(betas.shape[:-1], expression.shape[:-1])
    return torch.cat([betas.expand(*batch, -1), expression.expand(*batch, -1)], dim=-1)


@dataclass(frozen=True)
class _JointTree:
    parent: Tensor  # [J]; the pelvis is its own parent
    has_parent: Tensor  # [J] 0 or 1
    by_level: Tensor  # [J] joints sorted by level, the pelvis first
    sizes: list[int]  # Joints in each level.
    parents_above: list[Tensor]  # For each level below the pelvis: indices of the parents in the level above.
    in_order: Tensor  # [J] index of each joint in `by_level`


@lru_cache
def _joint_tree(count: int, device: torch.device) -> _JointTree:
    """The tree of the first `count` joints."""
    levels, parents_above = [[0]], []
    while level := [joint for joint, parent in enumerate(PARENTS[:count]) if parent in levels[-1]]:
        parents_above.append([levels[-1].index(PARENTS[joint]) for joint in level])
        levels.append(level)
    by_level = [joint for level in levels for joint in level]
    in_order = [by_level.index(joint) for joint in range(count)]
    with torch.inference_mode(False):  # Cached tensors are also used with gradients.
        return _JointTree(
            parent=torch.tensor([max(parent, 0) for parent in PARENTS[:count]], device=device),
            has_parent=torch.tensor([int(parent >= 0) for parent in PARENTS[:count]], device=device),
            by_level=torch.tensor(by_level, device=device),
            sizes=[len(level) for level in levels],
            parents_above=[torch.tensor(level, device=device) for level in parents_above],
            in_order=torch.tensor(in_order, device=device),
        )
