"""Source poses are those of standing people, with the heading removed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from standing import standing_sources

from closemesh.body.skeleton import JOINT_INDEX
from closemesh.core.errors import InputError
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.lab.synthesis.key_poses import find_source_poses, remove_heading
from closemesh.motion_files.sequence import MotionSequence, body_rotations


def sequence(poses: np.ndarray) -> MotionSequence:
    rotations, known = body_rotations(poses[:, None])
    frames = len(poses)
    return MotionSequence("made", 30.0, rotations, np.zeros((frames, 1, 3)), np.ones((frames, 1), bool), known)


def full_pose(yaw: float, tilt: float = 0.0, knee: float = 0.0) -> np.ndarray:
    pose = np.zeros((22, 3))
    pose[0] = [tilt, 0, 0] if tilt else [0, yaw, 0]
    pose[1:] = standing_sources(1).body_pose[0].numpy()
    pose[JOINT_INDEX["left_knee"], 0] = knee
    return pose


def test_standing_poses_are_found_with_any_heading():
    poses = np.stack([full_pose(2.0), full_pose(-1.0), full_pose(0, tilt=1.5), full_pose(0, knee=1.2)])
    found = find_source_poses([sequence(poses)], spacing=1 / 30)
    assert found.frames == (("made", 0), ("made", 1))
    assert found.root.abs().max() < 1e-4
    expected = torch.tensor(poses[:2, 1:], dtype=torch.float32)
    assert torch.allclose(found.body_pose, expected, atol=1e-4)


def test_no_standing_person_is_an_error():
    with pytest.raises(InputError, match="no captured pose"):
        find_source_poses([sequence(np.stack([full_pose(0, tilt=1.5)]))])


def test_heading_is_removed_and_tilt_is_not():
    R = axis_angle_to_matrix(torch.tensor([[0.0, 1.3, 0.0]])) @ axis_angle_to_matrix(torch.tensor([[0.2, 0.0, 0.1]]))
    level = remove_heading(R)
    assert level[0, 0, 2].abs() < 1e-6 and level[0, 2, 2] > 0
    assert torch.allclose(level[0, 1], R[0, 1], atol=1e-6)  # Where "up" lies in the body does not change.
