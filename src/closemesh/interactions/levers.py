"""How points of two skinned bodies move when joints turn: exact derivatives, without a graph."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS
from closemesh.body.skinning import forward_kinematics, rest_joints, shaped_template
from closemesh.interactions.pair_motion import PairMotion
from closemesh.scene import NUM_BODY_JOINTS

FREE_JOINTS = tuple(j for j in range(NUM_BODY_JOINTS) if not JOINT_NAMES[j].endswith("_foot"))
"""Joints that are turned; toes stay."""
NUM_PARAMETERS = 3 * len(FREE_JOINTS) + 3
"""Of one person: a rotation vector for each free joint in its own frame, and the shift of the pelvis in the world."""


@dataclass(frozen=True)
class Points:
    """N points on the skin, each a mixture of vertices."""

    frame: Tensor  # [N] int64
    person: Tensor  # [N] int64
    vertices: Tensor  # [N, C] int64
    shares: Tensor  # [N, C] of each vertex, summing to 1


class PosedPairs:
    """The bodies of F frames, from which points and their derivatives are taken. The body has no pose correctives."""

    def __init__(self, body: BodyModel, motion: PairMotion) -> None:
        joints_rest = rest_joints(body, motion.betas)  # [F, 2, 55, 3]
        self._rest = shaped_template(body, motion.betas)  # [F, 2, V, 3]
        self._weights = body.skin_weights
        self._turned, joints = forward_kinematics(motion.all_rotations(), joints_rest)
        self.joints = joints + (motion.pelvis - joints_rest[..., 0, :])[..., None, :]
        offsets = self.joints - (self._turned @ joints_rest[..., None])[..., 0]
        self._transforms = torch.cat([self._turned, offsets[..., None]], dim=-1)  # [F, 2, 55, 3, 4]

    def vertices(self) -> Tensor:
        """All vertices [F, 2, V, 3]."""
        blended = (self._weights @ self._transforms.flatten(-2)).unflatten(-1, (3, 4))
        return (blended[..., :3] @ self._rest[..., None])[..., 0] + blended[..., 3]

    def positions(self, points: Points) -> Tensor:
        """World positions [N, 3]."""
        return self._carried(points).sum(1)

    def derivatives(self, points: Points, directions: Tensor) -> Tensor:
        """Change [N, NUM_PARAMETERS] of each point along its direction [N, 3] with the parameters of its person."""
        carried = self._carried(points)  # [N, 55, 3]
        below = _BELOW.to(carried)
        share = (self._weights[points.vertices] * points.shares[..., None]).sum(1) @ below.T  # [N, J]
        joints = self.joints[points.frame, points.person][:, FREE_JOINTS]  # [N, J, 3]
        lever = below @ carried - share[..., None] * joints
        across = torch.linalg.cross(lever, directions[:, None].expand_as(lever))
        turned = self._turned[points.frame, points.person][:, FREE_JOINTS]  # [N, J, 3, 3]
        in_joint = (turned.transpose(-1, -2) @ across[..., None])[..., 0]
        return torch.cat([in_joint.flatten(1), directions], dim=1)

    def _carried(self, points: Points) -> Tensor:
        """[N, 55, 3] what each joint contributes to each position."""
        frame, person = points.frame[:, None], points.person[:, None]
        rest = self._rest[frame, person, points.vertices]  # [N, C, 3]
        weights = self._weights[points.vertices] * points.shares[..., None]  # [N, C, 55]
        moments = torch.einsum("ncj,ncd->njd", weights, rest)
        transforms = self._transforms[points.frame, points.person]  # [N, 55, 3, 4]
        return (transforms[..., :3] @ moments[..., None])[..., 0] + weights.sum(1)[..., None] * transforms[..., 3]


def vertex_points(frame: Tensor, person: Tensor, vertices: Tensor) -> Points:
    """Single vertices [N] as points."""
    return Points(frame, person, vertices[:, None], torch.ones(len(vertices), 1))


def _below() -> Tensor:
    """[J, 55] one where a joint is moved by the free joint, itself included."""
    below = torch.zeros(len(FREE_JOINTS), len(JOINT_INDEX))
    for joint in range(len(JOINT_INDEX)):
        above = joint
        while above >= 0:
            if above in FREE_JOINTS:
                below[FREE_JOINTS.index(above), joint] = 1
            above = PARENTS[above]
    return below


_BELOW = _below()
