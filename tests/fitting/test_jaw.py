"""A jaw opens as far as the lips are apart, whatever the error of the head, and stays closed without lip keypoints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from known_scenes import KnownScene, observe_exactly

from closemesh.body.loading import load_bundled_body, load_landmark_body
from closemesh.body.model import BodyModel
from closemesh.body.motion import MotionParameters
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.core.progress import NullProgress
from closemesh.fitting.jaw import fit_jaw, mouths_visible
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.fitting.objective import FitModel, from_motion, to_motion
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.losses.pose_prior import load_pose_prior
from closemesh.structures import Camera, Observations

FACE = slice(23, 91)
OPEN = 0.35  # Radians: 20 degrees.


@pytest.fixture(scope="module")
def body() -> BodyModel:
    """With a mouth: those of the coarser bodies hardly open."""
    return load_bundled_body("std")


@pytest.fixture(scope="module")
def model(body: BodyModel) -> FitModel:
    return FitModel(load_landmark_body(body), load_pose_prior())


def seen_with_jaw(scene: KnownScene, angles: np.ndarray, noise: float = 0.0) -> Observations:
    """The first person opens the mouth by these angles [T]; faces are as large as in a close shot."""
    rotations = scene.motion.rotations.copy()
    turns = torch.zeros(len(angles), 3)
    turns[:, 0] = torch.as_tensor(angles)
    rotations[:, 0, JOINT_INDEX["jaw"]] = axis_angle_to_matrix(turns).numpy()
    seen = observe_exactly(scene.motion.with_pose(rotations=rotations), close(scene), load_bundled_body("std"))
    keypoints = seen.keypoints.copy()
    keypoints[:, 0, FACE, 2] = 1
    keypoints[:, 0, FACE, :2] += noise * np.random.default_rng(0).standard_normal(keypoints[:, 0, FACE, :2].shape)
    return replace(seen, keypoints=keypoints)


def close(scene: KnownScene) -> Camera:
    return replace(scene.camera, focal=4 * scene.camera.focal)


def tracks_of(scene: KnownScene, seen: Observations) -> KeypointTracks:
    return KeypointTracks.from_observations(seen, scene.clip.times, close(scene), "cpu")


def fit(scene: KnownScene, model: FitModel, start: MotionParameters, seen: Observations) -> np.ndarray:
    """[T] radians of the first person's jaw."""
    found = fit_jaw(model, start, tracks_of(scene, seen), 80, 8, 2, NullProgress())
    assert torch.equal(found.jaw[:, 1], start.jaw[:, 1]), "the mouth of the other person is undetected"
    return found.jaw[:, 0, 0].numpy()


def test_a_known_opening_is_found(known_scene: KnownScene, model: FitModel) -> None:
    angles = np.linspace(0, OPEN, len(known_scene.clip))
    start = from_motion(model.body, known_scene.motion, "cpu")
    found = fit(known_scene, model, start, seen_with_jaw(known_scene, angles, noise=1.0))
    assert np.abs(found - angles).max() < np.radians(4)
    assert np.abs(found - angles).mean() < np.radians(2)
    assert np.abs(0 - angles).mean() > np.radians(9), "what staying closed would be off"


def test_a_head_that_is_wrongly_turned_and_sized_does_not_matter(known_scene: KnownScene, model: FitModel) -> None:
    start = from_motion(model.body, known_scene.motion, "cpu")
    pose = start.body_pose.clone()
    pose[:, 0, JOINT_INDEX["head"] - 1] += torch.tensor([0.15, 0.2, 0.05])
    start = start.with_tensors(body_pose=pose, log_depth=start.log_depth + 0.1)
    angles = np.full(len(known_scene.clip), OPEN)
    assert np.abs(fit(known_scene, model, start, seen_with_jaw(known_scene, angles)) - OPEN).max() < np.radians(6)


def test_a_closed_mouth_stays_closed(known_scene: KnownScene, model: FitModel) -> None:
    start = from_motion(model.body, known_scene.motion, "cpu")
    found = fit(known_scene, model, start, seen_with_jaw(known_scene, np.zeros(len(known_scene.clip)), noise=1.0))
    assert np.abs(found).max() < np.radians(3)


def test_without_lips_nothing_changes(known_scene: KnownScene, model: FitModel) -> None:
    seen = seen_with_jaw(known_scene, np.full(len(known_scene.clip), OPEN))
    keypoints = seen.keypoints.copy()
    keypoints[:, 0, 23 + 66, 2] = 0
    tracks = tracks_of(known_scene, replace(seen, keypoints=keypoints))
    start = from_motion(model.body, known_scene.motion, "cpu")
    assert not mouths_visible(tracks).any()
    assert fit_jaw(model, start, tracks, 10, 8, 2, NullProgress()) is start


def test_an_open_jaw_is_in_the_motion_and_comes_back(known_scene: KnownScene, model: FitModel, body: BodyModel) -> None:
    tracks = tracks_of(known_scene, seen_with_jaw(known_scene, np.zeros(len(known_scene.clip))))
    start = from_motion(model.body, known_scene.motion, "cpu")
    opened = start.with_tensors(jaw=start.jaw + torch.tensor([0.3, 0.0, 0.0]))
    motion = to_motion(body, model.body, opened, tracks)
    assert torch.allclose(from_motion(model.body, motion, "cpu").jaw, opened.jaw, atol=1e-5)
