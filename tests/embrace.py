"""Two people who stand face to face before a camera, the hands of the first on the chest of the second."""

from __future__ import annotations

import numpy as np
import torch

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.structures import BodyMotion

CAMERA_DISTANCE = 3.5  # Meters.
DISTANCE = 0.73  # Meters between the two: hands touch in most frames, and cross by millimeters in some.


def embrace(body: BodyModel, frames: int = 6) -> BodyMotion:
    """In the camera frame; both sway a little, the second stands beside the first across the view."""
    generator = torch.Generator().manual_seed(1)
    phase = torch.linspace(0, 1.5, frames)[:, None, None, None]
    pose = 0.05 * torch.randn(1, 2, 55, 3, generator=generator)
    pose = pose + 0.05 * torch.sin(phase + 6 * torch.rand(1, 2, 55, 3, generator=generator))
    for side, sign in (("left", -1), ("right", 1)):
        pose[:, 0, JOINT_INDEX[f"{side}_shoulder"]] += torch.tensor([0, sign * 1.4, sign * 0.15])
        pose[:, 1, JOINT_INDEX[f"{side}_shoulder"]] += torch.tensor([0, 0, sign * 1.1])
    pose[:, :, 25:] = body.hand_mean.flatten(0, 1)
    rotations = axis_angle_to_matrix(pose)
    upright = torch.diag(torch.tensor([1.0, -1.0, -1.0]))  # R_cam_world: y up becomes y down.
    for person, yaw in ((0, np.pi / 2), (1, -np.pi / 2)):
        turn = axis_angle_to_matrix(torch.tensor([0.0, yaw, 0.0]))
        rotations[:, person, 0] = upright @ turn @ rotations[:, person, 0]
    transl = np.zeros((frames, 2, 3), np.float32)
    transl[..., 2] = CAMERA_DISTANCE
    transl[:, 1, 0] = DISTANCE
    transl[..., 0] += 0.03 * np.arange(frames)[:, None] / frames
    return BodyMotion(
        body_model=body.name,
        betas=np.array([[0.6, -0.8, *[0.0] * 8], [-0.5, 0.7, *[0.0] * 8]], np.float32),
        rotations=rotations.numpy().astype(np.float32),
        transl=transl,
        expression=np.zeros((frames, 2, 10), np.float32),
        valid=np.ones((frames, 2), bool),
        confidence=np.ones((frames, 2), np.float32),
    )
