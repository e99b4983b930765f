"""Fingers follow their keypoints where a detector gives them, and stay relaxed where none does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from known_scenes import FOCAL, SIZE, KnownScene, observe_exactly

from closemesh.body.loading import load_landmark_body
from closemesh.body.motion import MotionParameters, pose_parameters
from closemesh.core.progress import NullProgress
from closemesh.fitting.hands import fit_hands, hands_visible
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.fitting.objective import FitModel, from_motion
from closemesh.geometry.camera import project
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.losses.pose_prior import load_pose_prior
from closemesh.structures import Observations

LEFT, RIGHT = slice(91, 112), slice(112, 133)
WRISTS = [19, 20]  # Of the body pose.
CLENCHED = 0.9  # Radians that each finger joint of the first person's left hand is bent.


@pytest.fixture(scope="module")
def model(known_scene: KnownScene) -> FitModel:
    return FitModel(load_landmark_body(known_scene.body), load_pose_prior())


@pytest.fixture(scope="module")
def clenched(known_scene: KnownScene) -> Observations:
    """The first person clenches the left hand; all points of both hands of that person are detected."""
    pose = known_scene.body.hand_mean.flatten(0, 1).numpy().copy()
    pose[:15, 2] -= CLENCHED
    rotations = known_scene.motion.rotations.copy()
    rotations[:, 0, 25:] = axis_angle_to_matrix(torch.as_tensor(pose)).numpy()
    seen = observe_exactly(known_scene.motion.with_pose(rotations=rotations), known_scene.camera, known_scene.body)
    keypoints = seen.keypoints.copy()
    keypoints[:, 0, 91:, 2] = 1
    return replace(seen, keypoints=keypoints)


def tracks_of(scene: KnownScene, seen: Observations) -> KeypointTracks:
    return KeypointTracks.from_observations(seen, scene.clip.times, scene.camera, "cpu")


def miss(model: FitModel, parameters: MotionParameters, seen: Observations) -> np.ndarray:
    """[T, 42] pixels that the first person's hand points lie off."""
    points = pose_parameters(model.body, parameters).keypoints[:, 0, 91:]
    projected = project(points, FOCAL, (SIZE[0] / 2, SIZE[1] / 2)).numpy()
    return np.linalg.norm(projected - seen.keypoints[:, 0, 91:, :2], axis=-1)


def test_a_clenched_hand_is_clenched_and_the_rest_stays(known_scene, model, clenched) -> None:
    start = from_motion(model.body, known_scene.motion, "cpu")
    found = fit_hands(model, start, tracks_of(known_scene, clenched), 60, 8, 2, NullProgress())
    before, after = miss(model, start, clenched), miss(model, found, clenched)
    assert after[:, :21].mean() < 0.4 * before[:, :21].mean()
    assert after[:, 21:].max() < 0.5, "the right hand is relaxed and stays so"
    assert torch.allclose(found.body_pose[:, 0, WRISTS], start.body_pose[:, 0, WRISTS], atol=0.1), "they were right"
    others = [k for k in range(21) if k not in WRISTS]
    assert torch.equal(found.body_pose[..., others, :], start.body_pose[..., others, :])
    for name, tensor in start.tensors().items():
        assert name in ("body_pose", "hand_pose") or torch.equal(getattr(found, name), tensor)
    assert torch.equal(found.hand_pose[:, 1], start.hand_pose[:, 1]), "the hands of the other person are undetected"


def test_a_wrist_that_the_body_has_wrong_is_turned_back(known_scene, model, clenched) -> None:
    right = from_motion(model.body, known_scene.motion, "cpu")
    wrong = right.body_pose.clone()
    wrong[:, 0, WRISTS[0], 0] += 0.6
    start = right.with_tensors(body_pose=wrong)
    found = fit_hands(model, start, tracks_of(known_scene, clenched), 60, 8, 2, NullProgress())
    before, after = ((v.body_pose - right.body_pose)[:, 0, WRISTS[0]].norm(dim=-1).mean() for v in (start, found))
    assert after < 0.5 * before


def test_three_points_of_a_hand_leave_everything_as_it_is(known_scene, model, clenched) -> None:
    """As without a hand detector; the result must not depend on its presence."""
    few = clenched.keypoints.copy()
    few[:, 0, 91:, 2] = 0
    few[:, 0, [93, 96, 108], 2] = 0.9
    tracks = tracks_of(known_scene, replace(clenched, keypoints=few))
    start = from_motion(model.body, known_scene.motion, "cpu")
    assert not hands_visible(tracks).any()
    assert fit_hands(model, start, tracks, 60, 8, 2, NullProgress()) is start
    alone = tracks.inv_sigma[0, 0, [93, 96, 108]]
    assert torch.allclose(alone, torch.full((3,), 0.9**0.5 / 4)), "three points count in full"


def test_many_points_of_a_hand_count_as_few(known_scene, clenched) -> None:
    certainty = tracks_of(known_scene, clenched).inv_sigma[0, 0]
    for hand in (LEFT, RIGHT):
        assert float(certainty[hand].square().sum()) == pytest.approx(4 / 4**2)
    assert torch.equal(certainty[:17], torch.full((17,), 0.25))
