"""Fixtures: two moving people in front of a moving camera."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from closemesh.body.loading import load_bundled_body
from closemesh.body.model import BodyModel
from closemesh.body.motion import motion_in_camera
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.structures import BodyMotion, Camera, Clip, Observations


@dataclass(frozen=True)
class Dance:
    clip: Clip
    camera: Camera
    motion: BodyMotion
    """Camera frame."""
    motion_world: BodyMotion
    body: BodyModel


def matrices(axis_angle: np.ndarray) -> np.ndarray:
    return axis_angle_to_matrix(torch.as_tensor(axis_angle)).numpy()


def make_camera(num_frames: int, size: tuple[int, int], moving: bool) -> Camera:
    """At eye height, 4.5 m in front of the origin; a moving camera turns and drifts."""
    turn = np.zeros((num_frames, 3))
    turn[:, 1] = np.linspace(0, 0.2, num_frames) if moving else 0
    T_cam_world = np.tile(np.eye(4), (num_frames, 1, 1))
    T_cam_world[:, :3, :3] = matrices(turn) @ matrices(np.array([0.1, 0, 0])) @ np.diag([1.0, -1.0, -1.0])
    eye = np.array([0, 1.5, 4.5]) + np.linspace(0, 0.3 if moving else 0, num_frames)[:, None]
    T_cam_world[:, :3, 3] = -(T_cam_world[:, :3, :3] @ eye[..., None])[..., 0]
    return Camera(1.2 * size[1], (size[0] / 2, size[1] / 2), size, "estimated", T_cam_world, True)


def make_motion(body: BodyModel, num_frames: int) -> BodyMotion:
    """World motion of two people 0.8 m from each other: all joints oscillate, the pelvis moves at standing height."""
    rng = np.random.default_rng(0)
    phase = np.linspace(0, 2 * np.pi, num_frames)[:, None, None, None] + rng.uniform(0, 6, (1, 2, 55, 3))
    axis_angle = 0.35 * np.sin(phase) * rng.uniform(0, 1, (1, 2, 55, 3))
    axis_angle[:, 0, 0, 1] += 3.0  # Near pi, where axis-angle is delicate.
    transl = np.zeros((num_frames, 2, 3))
    transl[..., 1] = 0.95
    transl[..., 0] = [-0.4, 0.4] + np.linspace(0, 0.3, num_frames)[:, None]
    return BodyMotion(
        body_model=body.name,
        betas=rng.normal(0, 1, (2, 10)).astype(np.float32),
        rotations=matrices(axis_angle).astype(np.float32),
        transl=transl.astype(np.float32),
        expression=np.tile(rng.normal(0, 1, (2, 10)), (num_frames, 1, 1)).astype(np.float32),
        valid=np.ones((num_frames, 2), dtype=bool),
        confidence=rng.uniform(0, 1, (num_frames, 2)).astype(np.float32),
    )


@pytest.fixture
def make_dance() -> Callable[..., Dance]:
    def make(num_frames: int = 6, size: tuple[int, int] = (160, 120), variant: str = "light", moving=True) -> Dance:
        body = load_bundled_body(variant)  # type: ignore[arg-type]
        times = 0.5 + np.cumsum(np.tile([0.03, 0.05], num_frames))[:num_frames]
        clip = Clip(Path("dance.mp4"), "ab" * 32, np.arange(7, 7 + num_frames), times, size, 25.0)
        camera = make_camera(num_frames, size, moving)
        motion_world = make_motion(body, num_frames)
        return Dance(clip, camera, motion_in_camera(motion_world, camera, body), motion_world, body)

    return make


@pytest.fixture
def dance(make_dance: Callable[..., Dance]) -> Dance:
    return make_dance()


@pytest.fixture
def observations(dance: Dance) -> Observations:
    num_frames = len(dance.clip)
    rng = np.random.default_rng(1)
    return Observations(
        boxes=rng.uniform(0, 100, (num_frames, 2, 4)),
        keypoints=rng.uniform(0, 1, (num_frames, 2, 133, 3)),
        sigmas=np.ones((num_frames, 2, 133)),
        keypoints3d=np.zeros((num_frames, 2, 23, 4)),
        detected=np.ones((num_frames, 2), dtype=bool),
        track_confidence=np.ones((num_frames, 2)),
        detector="none",
    )
