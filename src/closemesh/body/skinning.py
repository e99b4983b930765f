"""Batched differentiable linear blend skinning of any SMPL-X-layout body (Loper et al. 2015, Pavlakos et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import PARENTS


def rest_joints(body: BodyModel, betas: Tensor, expression: Tensor | None = None) -> Tensor:
    """Joints [..., 55, 3] of the shaped body in the zero pose, metres; betas [..., B], expression [..., E]."""
    return body.joint_template + torch.einsum(
        "...k,jdk->...jd", _coefficients(body, betas, expression), body.joint_shape_dirs
    )


def shaped_template(body: BodyModel, betas: Tensor, expression: Tensor | None = None) -> Tensor:
    """Vertices [..., V, 3] of the shaped body in the zero pose, metres."""
    directions = torch.cat([body.shape_dirs, body.expression_dirs], dim=-1).flatten(0, 1)  # [V * 3, B + E]
    offsets = _coefficients(body, betas, expression) @ directions.T
    return body.v_template + offsets.unflatten(-1, (-1, 3))


def forward_kinematics(rotations: Tensor, joints_rest: Tensor) -> tuple[Tensor, Tensor]:
    """Global rotations [..., 55, 3, 3] and positions [..., 55, 3] of the joints, without transl.

    rotations [..., 55, 3, 3] are relative to the parent, joints_rest [..., 55, 3] in metres. The pelvis stays where
    it rests. One step per level of the tree, all joints of a level together.
    """
    batch = torch.broadcast_shapes(rotations.shape[:-3], joints_rest.shape[:-2])
    rotations = rotations.expand(*batch, *rotations.shape[-3:])
    bones = (joints_rest - joints_rest[..., _PARENT_OR_SELF, :]).expand(*batch, -1, -1)
    turned = [rotations[..., :1, :, :]]  # Level by level; the parents of a level are all in the one before.
    positions = [joints_rest[..., :1, :].expand(*batch, -1, -1)]
    for level, parents in _LEVELS:
        parent_rotations = turned[-1][..., parents, :, :]
        positions.append(positions[-1][..., parents, :] + (parent_rotations @ bones[..., level, :, None])[..., 0])
        turned.append(parent_rotations @ rotations[..., level, :, :])
    return torch.cat(turned, dim=-3)[..., _ORDER, :, :], torch.cat(positions, dim=-2)[..., _ORDER, :]


def posed_joints(
    body: BodyModel, betas: Tensor, rotations: Tensor, transl: Tensor, expression: Tensor | None = None
) -> Tensor:
    """Joints [..., 55, 3] in the frame of transl [..., 3], metres; no vertex is touched."""
    _, joints = forward_kinematics(rotations, rest_joints(body, betas, expression))
    return joints + transl[..., None, :]


def skin(
    body: BodyModel, betas: Tensor, rotations: Tensor, transl: Tensor, expression: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Vertices [..., V, 3] and joints [..., 55, 3] in the frame of transl, metres.

    betas [..., B], rotations [..., 55, 3, 3] relative to the parent, transl [..., 3], expression [..., E]; leading
    dimensions broadcast, so that one shape serves a whole clip.
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


def keypoints133(body: BodyModel, vertices: Tensor, joints: Tensor) -> Tensor:
    """COCO-WholeBody keypoints [..., 133, 3] of skinned vertices [..., V, 3] and joints [..., 55, 3]."""
    return body.keypoint_joints @ joints + body.keypoint_vertices @ vertices[..., body.keypoint_vertex_ids, :]


def _coefficients(body: BodyModel, betas: Tensor, expression: Tensor | None) -> Tensor:
    if expression is None:
        expression = betas.new_zeros(*betas.shape[:-1], body.num_expressions)
    batch = torch.broadcast_shapes(betas.shape[:-1], expression.shape[:-1])
    return torch.cat([betas.expand(*batch, -1), expression.expand(*batch, -1)], dim=-1)


def _tree_levels() -> list[tuple[list[int], list[int]]]:
    """Joints level by level below the pelvis, with where their parents stand in the level before."""
    levels, above = [], [0]
    while level := [joint for joint, parent in enumerate(PARENTS) if parent in above]:
        levels.append((level, [above.index(PARENTS[joint]) for joint in level]))
        above = level
    return levels


_LEVELS = _tree_levels()
_PARENT_OR_SELF = [max(parent, 0) for parent in PARENTS]
_BREADTH_FIRST = [0, *(joint for level, _ in _LEVELS for joint in level)]
_ORDER = [_BREADTH_FIRST.index(joint) for joint in range(len(PARENTS))]  # Where joint j stands in the level order.
