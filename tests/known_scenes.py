"""A scene with known ground truth: two people who move on a floor in front of a camera above them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from closemesh.body.loading import load_bundled_body
from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.body.skinning import rest_joints, skin, wholebody_keypoints
from closemesh.geometry.camera import project
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.structures import BodyMotion, Camera, Clip, Observations, ObservedClip

SIZE = (640, 480)
FOCAL = 600.0
FPS = 30.0
CAMERA_HEIGHT = 1.6
PITCH = 0.25  # Radians of the camera below the horizon.


@dataclass(frozen=True)
class KnownScene:
    clip: Clip
    camera: Camera
    """With the true T_cam_world: floor at y = 0."""
    motion: BodyMotion
    """Ground truth, camera frame."""
    observations: Observations
    """Exact 2D and 3D keypoints of the ground truth."""
    body: BodyModel

    @property
    def observed(self) -> ObservedClip:
        return ObservedClip(self.clip, self.observations, self.camera)


def make_known_scene(pitch: float = PITCH) -> KnownScene:
    """Twelve frames; person 0 waves and bends a knee, person 1 stands behind, turned half away."""
    body = load_bundled_body("light")
    frames = 12
    T_cam_world = _camera_looking_down(frames, pitch)
    motion = _in_camera(_motion_in_world(body, frames), T_cam_world, body)
    camera = Camera(FOCAL, (SIZE[0] / 2, SIZE[1] / 2), SIZE, "option", T_cam_world, floor_found=True)
    times = np.arange(frames) / FPS
    clip = Clip(Path("known.mp4"), "", np.arange(frames), times, SIZE, FPS)
    return KnownScene(clip, camera, motion, observe_exactly(motion, camera, body), body)


def observe_exactly(motion: BodyMotion, camera: Camera, body: BodyModel) -> Observations:
    """Observations of a perfect detector: body and foot keypoints in 2D and 3D, and boxes."""
    vertices, joints = skin(body, *(_tensor(x) for x in (motion.betas, motion.rotations, motion.transl)))
    points = wholebody_keypoints(body, vertices, joints)
    pixels = project(points, camera.focal, camera.principal_point).numpy()
    frames, people = pixels.shape[:2]
    keypoints = np.concatenate([pixels, np.zeros((frames, people, 133, 1))], axis=-1).astype(np.float32)
    keypoints[..., :23, 2] = 1
    points3d = (points[..., :23, :] - points[..., 11:13, :].mean(-2, keepdim=True)).numpy()
    return Observations(
        boxes=np.concatenate([pixels[..., :23, :].min(2), pixels[..., :23, :].max(2)], -1).astype(np.float32),
        keypoints=keypoints,
        sigmas=np.full((frames, people, 133), 4, np.float32),
        keypoints3d=np.concatenate([points3d, np.ones_like(points3d[..., :1])], -1).astype(np.float32),
        detected=np.ones((frames, people), bool),
        track_confidence=np.ones((frames, people), np.float32),
        detector="exact",
    )


def _motion_in_world(body: BodyModel, frames: int) -> BodyMotion:
    pose = np.zeros((frames, 2, 55, 3), np.float32)
    phase = np.sin(np.arange(frames) / FPS * 2 * np.pi)
    pose[:, :, JOINT_INDEX["left_shoulder"], 2] = -1.1
    pose[:, :, JOINT_INDEX["right_shoulder"], 2] = 1.1
    pose[:, 0, JOINT_INDEX["right_shoulder"], 2] -= 0.6 * phase
    pose[:, :, JOINT_INDEX["left_elbow"], 1] = -0.4
    pose[:, 0, JOINT_INDEX["right_elbow"], 1] = 1.0
    pose[:, 1, 0, 1] = 2.2  # Yaw.
    pose[:, :, 25:] = body.hand_mean.flatten(0, 1).numpy()
    pelvis_height = -float(body.v_template[:, 1].min())
    transl = np.zeros((frames, 2, 3), np.float32)
    transl[:, :, 1] = pelvis_height
    transl[:, 1] += [0.6, 0, -0.5]
    return BodyMotion(
        body_model=body.name,
        betas=np.zeros((2, 10), np.float32),
        rotations=axis_angle_to_matrix(_tensor(pose)).numpy(),
        transl=transl,
        expression=np.zeros((frames, 2, 10), np.float32),
        valid=np.ones((frames, 2), bool),
        confidence=np.ones((frames, 2), np.float32),
    )


def _camera_looking_down(frames: int, pitch: float) -> np.ndarray:
    """T_cam_world [T, 4, 4] of a camera 3.5 m in front of the world's origin."""
    level = np.diag([1.0, -1.0, -1.0])
    c, s = np.cos(pitch), np.sin(pitch)
    R = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ level
    T = np.eye(4)
    T[:3, :3] = R
    T[:3, 3] = -R @ np.array([0, CAMERA_HEIGHT, 3.5])
    return np.tile(T, (frames, 1, 1))


def _in_camera(motion: BodyMotion, T_cam_world: np.ndarray, body: BodyModel) -> BodyMotion:
    R, t = T_cam_world[0, :3, :3], T_cam_world[0, :3, 3]
    pelvis = rest_joints(body, _tensor(motion.betas))[:, 0].numpy()
    rotations = motion.rotations.copy()
    rotations[:, :, 0] = R @ rotations[:, :, 0]
    transl = (pelvis + motion.transl) @ R.T + t - pelvis
    return motion.with_pose(rotations=rotations, transl=transl.astype(np.float32))


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(array, dtype=torch.float32)
