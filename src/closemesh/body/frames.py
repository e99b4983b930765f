"""Motion in another frame of reference: SMPL-X turns about the pelvis, so transl needs the rest pelvis."""

from __future__ import annotations

import numpy as np
import torch

from closemesh.body.model import BodyModel
from closemesh.body.skinning import rest_joints
from closemesh.scene import BodyMotion, Camera, Floats


def change_frame(motion: BodyMotion, T_new_old: Floats, body: BodyModel) -> BodyMotion:
    """The same motion seen from another frame.

    T_new_old [4, 4] or [T, 4, 4] takes points of the motion's frame to the new one. Joints are
    `R (J - pelvis_rest) + pelvis_rest + transl`, so R and transl change to `R_new_old R` and
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
    """Camera-frame motion in the world frame, R_world_root and transl in metres."""
    return change_frame(motion, np.linalg.inv(camera.T_cam_world), body)


def motion_in_camera(motion_world: BodyMotion, camera: Camera, body: BodyModel) -> BodyMotion:
    """World-frame motion in the camera frame."""
    return change_frame(motion_world, camera.T_cam_world, body)


def _pelvis_rest(motion: BodyMotion, body: BodyModel) -> Floats:
    """[T, P, 3] pelvis of the shaped body at rest."""
    dtype, device = body.joint_template.dtype, body.joint_template.device
    betas = torch.as_tensor(motion.betas, dtype=dtype, device=device)  # [P, B]
    expression = torch.as_tensor(motion.expression, dtype=dtype, device=device)  # [T, P, E]
    return rest_joints(body, betas, expression)[..., 0, :].cpu().numpy()
