"""The free parameters of a motion, and the way back to SMPL-X parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from closemesh.body.points import PointBody, PosedPoints, pose_points
from closemesh.geometry.rotations import axis_angle_to_matrix, rotation_6d_to_matrix


@dataclass(frozen=True)
class MotionVariables:
    """What a fit changes, in the camera frame.

    The pelvis is stored as a viewing ray and the logarithm of its depth, so that the place in the image and the
    distance, which the image tells so differently well, are separate numbers.
    """

    root: Tensor  # [T, P, 6] R_cam_root, 6D
    body_pose: Tensor  # [T, P, 21, 3] axis-angle, radians
    jaw: Tensor  # [T, P, 3] axis-angle, radians
    hand_pose: Tensor  # [T, P, 30, 3] axis-angle, radians
    ray: Tensor  # [T, P, 2] pelvis x / z and y / z
    log_depth: Tensor  # [T, P] logarithm of the pelvis depth in metres
    betas: Tensor  # [P, B]

    def rotations(self) -> Tensor:
        """Joint rotations [T, P, 55, 3, 3]."""
        root = rotation_6d_to_matrix(self.root)[..., None, :, :]
        body = axis_angle_to_matrix(self.body_pose)
        jaw = axis_angle_to_matrix(self.jaw)[..., None, :, :]
        eyes = torch.eye(3, dtype=root.dtype, device=root.device).expand(*root.shape[:-3], 2, 3, 3)
        return torch.cat([root, body, jaw, eyes, axis_angle_to_matrix(self.hand_pose)], dim=-3)

    def pelvis(self) -> Tensor:
        """Pelvis position [T, P, 3] in the camera frame, metres."""
        depth = self.log_depth.exp()[..., None]
        return torch.cat([self.ray * depth, depth], dim=-1)

    def transl(self, body: PointBody) -> Tensor:
        """SMPL-X translation [T, P, 3]: pelvis position minus where the pelvis of this shape rests."""
        return self.pelvis() - body.rest_joints(self.betas)[..., 0, :]

    def frames(self, index: slice | Tensor) -> MotionVariables:
        """The same people in some of the frames."""
        return self._map(lambda name, tensor: tensor if name == "betas" else tensor[index])

    def detached(self) -> MotionVariables:
        """Copies without a graph."""
        return self._map(lambda _, tensor: tensor.detach().clone())

    def tensors(self) -> dict[str, Tensor]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def with_tensors(self, **changes: Tensor) -> MotionVariables:
        return replace(self, **changes)

    def _map(self, function: Callable[[str, Tensor], Tensor]) -> MotionVariables:
        return MotionVariables(**{name: function(name, tensor) for name, tensor in self.tensors().items()})


def pose_variables(body: PointBody, variables: MotionVariables) -> PosedPoints:
    """Joints, keypoints and soles of everybody in every frame."""
    rotations = variables.rotations()[:, :, : len(body.joint_template)]
    return pose_points(body, variables.betas, rotations, variables.transl(body))
