"""Round trip: known motion to exact keypoints to the first motion; and the sources of the focal length."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from known_scenes import observe_exactly

from closemesh.body.loading import load_bundled_body
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.body.skinning import posed_joints
from closemesh.config.schema import InitialiseConfig
from closemesh.core.progress import NullProgress
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.initialization.initialize import initialise


def _joints(body, motion) -> np.ndarray:
    values = (torch.as_tensor(x, dtype=torch.float32) for x in (motion.betas, motion.rotations, motion.transl))
    return posed_joints(body, *values)[..., :22, :].numpy()


@pytest.mark.parametrize(("lifter", "error"), [(True, 0.065), (False, 0.045)])  # 49 and 36 mm measured.
def test_exact_keypoints_give_the_pose_back(known_scene, lifter: bool, error: float):
    scene = known_scene
    config = InitialiseConfig(focal=scene.camera.focal, lifter=lifter, iterations=60, multi_start_iterations=60)
    camera, motion, _ = initialise(
        scene.clip, scene.observations, scene.body, config, torch.device("cpu"), NullProgress()
    )
    found, truth = _joints(scene.body, motion), _joints(scene.body, scene.motion)
    relative = np.linalg.norm((found - found[:, :, :1]) - (truth - truth[:, :, :1]), axis=-1)
    assert camera.focal_source == "option"
    assert relative.mean() < error
    assert np.abs(found - truth)[..., 2].mean() < 0.25  # A person a little larger and farther has the same image.
    assert motion.valid.all() and motion.confidence.mean() > 0.9


def test_longer_clips_go_through_in_windows_without_a_seam(known_scene):
    scene = known_scene
    config = InitialiseConfig(focal=scene.camera.focal, iterations=30, window=8, overlap=3)
    _, motion, _ = initialise(scene.clip, scene.observations, scene.body, config, torch.device("cpu"), NullProgress())
    joints = _joints(scene.body, motion)
    steps = np.linalg.norm(np.diff(joints - joints[:, :, :1], axis=0), axis=-1).mean(-1)  # [T - 1, P]
    assert steps.max() < 3 * np.median(steps) + 0.01


def test_a_face_opens_the_jaw_of_the_first_motion(known_scene):
    """From keypoints of a whole-body model to the rotations that are written: 0.3 rad found, where resting finds 0."""
    body, jaw = load_bundled_body("std"), JOINT_INDEX["jaw"]
    rotations = known_scene.motion.rotations.copy()
    rotations[:, 0, jaw] = axis_angle_to_matrix(torch.tensor([0.3, 0.0, 0.0])).numpy()
    camera = replace(known_scene.camera, focal=4 * known_scene.camera.focal)
    seen = observe_exactly(known_scene.motion.with_pose(rotations=rotations), camera, body)
    keypoints = seen.keypoints.copy()
    keypoints[:, 0, 23:91, 2] = 1
    config = InitialiseConfig(focal=camera.focal, iterations=60)
    observations = replace(seen, keypoints=keypoints)
    _, motion, _ = initialise(known_scene.clip, observations, body, config, torch.device("cpu"), NullProgress())
    opened = motion.rotations[:, :, jaw]
    angles = matrix_to_axis_angle(torch.as_tensor(opened)).numpy()
    np.testing.assert_allclose(angles[:, 0, 0], 0.3, atol=0.08)
    np.testing.assert_allclose(angles[:, 1], 0, atol=1e-6)
