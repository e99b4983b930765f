"""Motion of a body: free parameters of a fit, pelvis and translation, change of frame, vertices and joints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from closemesh.body.landmarks import LandmarkBody, PosedLandmarks, pose_landmarks
from closemesh.body.model import BodyModel
from closemesh.body.skinning import posed_joints, rest_joints, skin, wholebody_keypoints
from closemesh.core.arrays import Floats
from closemesh.core.tensor_dataclass import TensorDataclass, static
from closemesh.geometry.rotations import axis_angle_to_matrix, rotation_6d_to_matrix
from closemesh.structures import BodyMotion, Camera


@dataclass(frozen=True)
class MotionParameters(TensorDataclass):
    """Free parameters of a fit, camera frame.

    The pelvis is a viewing ray and the logarithm of its depth: an image determines the ray much better.
    """

    root: Tensor  # [T, P, 6] R_cam_root, 6D
    body_pose: Tensor  # [T, P, 21, 3] axis-angle, radians
    jaw: Tensor  # [T, P, 3] axis-angle, radians
    hand_pose: Tensor  # [T, P, 30, 3] axis-angle, radians
    pelvis_ray: Tensor  # [T, P, 2] pelvis x / z and y / z
    log_depth: Tensor  # [T, P] logarithm of the pelvis depth in meters
    betas: Tensor = field(metadata=static(people_axis=0))  # [P, B]

    def rotations(self) -> Tensor:
        """Joint rotations [T, P, 55, 3, 3] relative to the parent; joint 0 is R_cam_root."""
        root = rotation_6d_to_matrix(self.root)[..., None, :, :]
        body = axis_angle_to_matrix(self.body_pose)
        jaw = axis_angle_to_matrix(self.jaw)[..., None, :, :]
        eyes = torch.eye(3, dtype=root.dtype, device=root.device).expand(*root.shape[:-3], 2, 3, 3)
        return torch.cat([root, body, jaw, eyes, axis_angle_to_matrix(self.hand_pose)], dim=-3)

    def pelvis(self) -> Tensor:
        """Position of the pelvis joint [T, P, 3] in the camera frame, meters."""
        depth = self.log_depth.exp()[..., None]
        return torch.cat([self.pelvis_ray * depth, depth], dim=-1)

    def transl(self, body: BodyModel | LandmarkBody) -> Tensor:
        """SMPL-X translation [T, P, 3] on `body`, meters."""
        return transl_of(body, self.betas, self.pelvis())

    def detached(self) -> MotionParameters:
        """Copies without a computation graph."""
        return self.map(lambda tensor: tensor.detach().clone())

    def tensors(self) -> dict[str, Tensor]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def with_tensors(self, **changes: Tensor) -> MotionParameters:
        return replace(self, **changes)


def change_people(chosen: Tensor, after: MotionParameters, before: MotionParameters) -> MotionParameters:
    """The parameters `after` of the chosen [P] bool people, and those `before` of all others."""
    changes = {}
    for name, value in after.tensors().items():
        mask = chosen if name == "betas" else chosen[None]
        mask = mask.reshape(*mask.shape, *([1] * (value.ndim - mask.ndim)))
        changes[name] = torch.where(mask, value, getattr(before, name))
    return after.with_tensors(**changes)


def rest_pelvis(body: BodyModel | LandmarkBody, betas: Tensor, expression: Tensor | None = None) -> Tensor:
    """Pelvis [..., 3] of the shaped body in the zero pose, meters; betas [..., B], expression [..., E]."""
    joints = body.rest_joints(betas) if isinstance(body, LandmarkBody) else rest_joints(body, betas, expression)
    return joints[..., 0, :]


def pelvis_of(body: BodyModel | LandmarkBody, betas: Tensor, transl: Tensor) -> Tensor:
    """Position of the pelvis joint [..., 3] at SMPL-X translation transl [..., 3], meters; betas [..., B]."""
    return transl + rest_pelvis(body, betas)


def transl_of(body: BodyModel | LandmarkBody, betas: Tensor, pelvis: Tensor) -> Tensor:
    """SMPL-X translation [..., 3] that puts the pelvis joint at pelvis [..., 3], meters; betas [..., B]."""
    return pelvis - rest_pelvis(body, betas)


def pose_parameters(body: LandmarkBody, parameters: MotionParameters) -> PosedLandmarks:
    """Joints, keypoints and soles of all people in every frame, camera frame."""
    rotations = parameters.rotations()[:, :, : len(body.joint_template)]
    return pose_landmarks(body, parameters.betas, rotations, parameters.transl(body))


def change_frame(motion: BodyMotion, T_new_old: Floats, body: BodyModel) -> BodyMotion:
    """The same motion in another frame of reference.

    T_new_old [4, 4] or [T, 4, 4] takes points of the frame of the motion to the new one. SMPL-X rotates about the
    pelvis: a joint is at `R (J - pelvis_rest) + pelvis_rest + transl`. So R becomes `R_new_old R` and transl becomes
    `R_new_old (pelvis_rest + transl) + t - pelvis_rest`.
    """
    T_new_old = np.broadcast_to(np.asarray(T_new_old, dtype=np.float64), (len(motion.transl), 4, 4))
    R, t = T_new_old[:, None, :3, :3], T_new_old[:, None, :3, 3]  # [T, 1, 3, 3], [T, 1, 3]
    pelvis_rest = _pelvis_rest(motion, body)  # [T, P, 3]
    pelvis = np.einsum("...ij,...j->...i", R, pelvis_rest + motion.transl) + t
    rotations = motion.rotations.copy()
    rotations[:, :, 0] = R @ rotations[:, :, 0]
    return motion.with_pose(
        rotations=rotations,
        transl=(pelvis - pelvis_rest).astype(motion.transl.dtype),
    )


def motion_in_world(motion: BodyMotion, camera: Camera, body: BodyModel) -> BodyMotion:
    """A camera-frame motion in the world frame."""
    return change_frame(motion, np.linalg.inv(camera.T_cam_world), body)


def motion_in_camera(motion_world: BodyMotion, camera: Camera, body: BodyModel) -> BodyMotion:
    """A world-frame motion in the camera frame."""
    return change_frame(motion_world, camera.T_cam_world, body)


def _pelvis_rest(motion: BodyMotion, body: BodyModel) -> Floats:
    """Pelvis [T, P, 3] of the shaped body at rest, with the expression of each frame."""
    dtype, device = body.joint_template.dtype, body.joint_template.device
    betas = torch.as_tensor(motion.betas, dtype=dtype, device=device)  # [P, B]
    expression = torch.as_tensor(motion.expression, dtype=dtype, device=device)  # [T, P, E]
    return rest_pelvis(body, betas, expression).cpu().numpy()


_MESH_BATCH = 8  # Frames; 0.25 MB for each person and frame.
_SKELETON_BATCH = 256  # Frames.


def stream_vertices(motion: BodyMotion, body: BodyModel) -> Iterator[Floats]:
    """Vertices [P, V, 3] of each frame in turn, meters, float32, in the frame of the motion."""
    for chunk in _chunks(motion, body, _MESH_BATCH):
        with torch.inference_mode():
            vertices, _ = skin(body, chunk.betas, chunk.rotations, chunk.transl, chunk.expression)
        yield from vertices.float().cpu().numpy()


def motion_joints(motion: BodyMotion, body: BodyModel) -> Floats:
    """Joints [T, P, 55, 3], meters, float32, in the frame of the motion."""
    with torch.inference_mode():
        joints = [
            posed_joints(body, chunk.betas, chunk.rotations, chunk.transl, chunk.expression)
            for chunk in _chunks(motion, body, _SKELETON_BATCH)
        ]
    return _concatenate(joints)


def motion_keypoints(motion: BodyMotion, body: BodyModel) -> Floats:
    """COCO-WholeBody keypoints [T, P, 133, 3], meters, float32, in the frame of the motion."""
    small = body.keypoint_body()
    parts = []
    with torch.inference_mode():
        for chunk in _chunks(motion, small, _SKELETON_BATCH):
            vertices, joints = skin(small, chunk.betas, chunk.rotations, chunk.transl, chunk.expression)
            parts.append(wholebody_keypoints(small, vertices, joints))
    return _concatenate(parts)


class _Chunk(NamedTuple):
    """Body parameters of consecutive frames."""

    betas: Tensor  # [P, B]
    rotations: Tensor  # [N, P, 55, 3, 3]
    transl: Tensor  # [N, P, 3]
    expression: Tensor  # [N, P, E]


def _chunks(motion: BodyMotion, body: BodyModel, size: int) -> Iterator[_Chunk]:
    """Parameters of `size` frames at a time, on the device of the body."""
    for start in range(0, len(motion.transl), size):
        part = slice(start, start + size)
        yield _Chunk(
            torch.as_tensor(motion.betas).to(body.v_template),
            torch.as_tensor(motion.rotations[part]).to(body.v_template),
            torch.as_tensor(motion.transl[part]).to(body.v_template),
            torch.as_tensor(motion.expression[part]).to(body.v_template),
        )


def _concatenate(parts: list[Tensor]) -> Floats:
    return np.concatenate([part.float().cpu().numpy() for part in parts])
