"""Statements in the last stage: they determine what no keypoint shows, also of unpaired people, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from known_scenes import KnownScene, make_known_scene, observe_exactly

from closemesh.body.loading import load_landmark_body
from closemesh.body.motion import pose_parameters
from closemesh.body.skeleton import JOINT_INDEX, KEYPOINT_INDEX
from closemesh.config.schema import OptimiseConfig
from closemesh.core.progress import NullProgress
from closemesh.fitting.keypoint_tracks import KeypointTracks, reference_at
from closemesh.fitting.objective import from_motion
from closemesh.fitting.optimizer import Weights
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.optimization.optimize import KnownPeople, optimise
from closemesh.optimization.text_terms import (
    COMPLETE,
    FULFILLED_STD_FACTOR,
    OCCLUDED_STD_FACTOR,
    TextObjective,
    hidden_joints,
    text_objective,
)
from closemesh.structures import BodyMotion
from closemesh.text.captioner import caption_motion
from closemesh.text.statements import DepthOrder, JointAngle, Posture, TimedStatement, Touch

CPU = torch.device("cpu")
BEHIND = 1  # The person behind the other.
ELBOW, WRIST = JOINT_INDEX["left_elbow"], KEYPOINT_INDEX["left_wrist"]
TRUE, WRONG = (TimedStatement(JointAngle(BEHIND, "left_elbow", bend)) for bend in ("slightly_bent", "bent"))
TRUTH = 45.0  # Degrees.


@pytest.fixture(scope="module")
def far(known_scene: KnownScene) -> KnownScene:
    """Two people too far from each other to be a pair."""
    return seen_at(known_scene, bent(known_scene, TRUTH))


@pytest.fixture(scope="module")
def near(known_scene: KnownScene) -> KnownScene:
    """One stands so near behind the other that the left arm is hidden."""
    transl = known_scene.motion.transl.copy()
    transl[:, 1] += 0.6 * (transl[:, 0] - transl[:, 1])
    motion = known_scene.motion.with_pose(rotations=known_scene.motion.rotations, transl=transl)
    return seen_at(known_scene, bent(replace(known_scene, motion=motion), TRUTH))


@pytest.fixture(params=["near", "far"])
def scene(request: pytest.FixtureRequest) -> KnownScene:
    return request.getfixturevalue(request.param)


def seen_at(scene: KnownScene, motion: BodyMotion) -> KnownScene:
    return replace(scene, motion=motion, observations=observe_exactly(motion, scene.camera, scene.body))


def hidden(scene: KnownScene) -> KnownScene:
    """The same without that arm's wrist."""
    keypoints, points3d = scene.observations.keypoints.copy(), scene.observations.keypoints3d.copy()
    keypoints[:, BEHIND, WRIST, 2] = 0
    points3d[:, BEHIND, WRIST, 3] = 0
    return replace(scene, observations=replace(scene.observations, keypoints=keypoints, keypoints3d=points3d))


def bent(scene: KnownScene, degrees: float) -> BodyMotion:
    rotations = scene.motion.rotations.copy()
    rotations[:, BEHIND, ELBOW] = axis_angle_to_matrix(torch.tensor([0.0, -np.radians(degrees), 0.0])).numpy()
    return scene.motion.with_pose(rotations=rotations, transl=scene.motion.transl)


def optimised(scene: KnownScene, motion: BodyMotion, text: Sequence[TimedStatement] = ()) -> BodyMotion:
    config = OptimiseConfig(iterations=60)
    return optimise(scene.observed, motion, scene.body, config, CPU, NullProgress(), known=KnownPeople(text))[1]


def elbow(motion: BodyMotion) -> float:
    """Degrees, the mean over the frames."""
    cosine = (np.trace(motion.rotations[:, BEHIND, ELBOW], axis1=-2, axis2=-1) - 1) / 2
    return float(np.degrees(np.arccos(cosine.clip(-1, 1))).mean())


def test_the_arm_is_behind_the_other_person(near: KnownScene):
    wrist, other = near.observations.keypoints[:, BEHIND, WRIST, :2], near.observations.keypoints[:, 0, :23, :2]
    shoulders = other[:, [KEYPOINT_INDEX["left_shoulder"], KEYPOINT_INDEX["right_shoulder"]], 0]
    assert (wrist[:, 0] > shoulders.min(1)).all() and (wrist[:, 0] < shoulders.max(1)).all()
    assert near.motion.transl[:, BEHIND, 2].min() > near.motion.transl[:, 0, 2].max()


def test_statements_determine_what_is_hidden(scene: KnownScene):
    scene, first = hidden(scene), bent(scene, 90)
    assert elbow(optimised(scene, first)) == pytest.approx(90, abs=5), "without statements it is unchanged"
    assert abs(elbow(optimised(scene, first, [TRUE])) - TRUTH) < 30  # Of 45; the fit ends at 65 degrees.


def test_keypoints_win_against_a_wrong_sentence(scene: KnownScene):
    first = bent(scene, TRUTH)
    assert abs(elbow(optimised(scene, first, [WRONG])) - TRUTH) < 8  # Degrees; 6 measured.
    assert elbow(optimised(hidden(scene), first, [WRONG])) > TRUTH + 10, "the same statement acts where it is hidden"


def test_statements_about_others_or_other_times_change_nothing(near: KnownScene):
    scene = hidden(near)
    plain = optimised(scene, bent(scene, 90))
    others = optimised(scene, bent(scene, 90), [TimedStatement(JointAngle(2, "left_elbow", "straight"))])
    assert np.array_equal(plain.rotations, others.rotations)
    later = optimised(scene, bent(scene, 90), [replace(TRUE, start=100.0, end=101.0)])
    assert np.abs(elbow(plain) - elbow(later)) < 3


def test_only_hidden_limbs_of_people_with_statements_are_loosened(near: KnownScene):
    scene = hidden(near)
    tracks = KeypointTracks.from_observations(scene.observations, scene.clip.times, scene.camera, CPU)
    undetected = hidden_joints(tracks)
    assert undetected[:, BEHIND].sum(-1).tolist() == [2] * len(scene.clip), "elbow and wrist"
    assert not undetected[:, 0].any()
    body = load_landmark_body(scene.body)
    parameters = from_motion(body, scene.motion, CPU)
    reference, posed = reference_at(parameters, 0.1, 0.1), pose_parameters(body, parameters)
    for person, loose in ((BEHIND, True), (0, False)):
        text = [TimedStatement(JointAngle(person, "right_knee", "bent"), start=float(scene.clip.times[6]))]
        objective = text_objective(text, 2, scene.camera.T_cam_world[:, :3, 1], scene.body, CPU)
        assert objective
        ratio = objective.adjust_reference(reference, tracks, posed).rotation_std / reference.rotation_std
        expected = torch.ones_like(ratio)
        if loose:
            expected[6:, BEHIND][:, [ELBOW, JOINT_INDEX["left_wrist"]]] = OCCLUDED_STD_FACTOR
        torch.testing.assert_close(ratio, expected)


def test_a_person_who_fulfills_a_complete_description_is_held(near: KnownScene):
    scene, up_cam = hidden(near), near.camera.T_cam_world[:, :3, 1]
    tracks = KeypointTracks.from_observations(scene.observations, scene.clip.times, scene.camera, CPU)
    body = load_landmark_body(scene.body)
    true = [one for one in caption_motion(scene.motion, scene.body, scene.clip.times, up_cam)]
    text = [replace(one, confidence=1.0) for one in true if one.statement.people == (BEHIND,)]
    assert len(text) > COMPLETE
    objective = text_objective(text, 2, up_cam, scene.body, CPU)
    assert objective
    for degrees, held in ((TRUTH, True), (170, False)):  # Of the hidden elbow.
        motion = scene.motion if held else bent(scene, degrees)
        parameters = from_motion(body, motion, CPU)
        reference = reference_at(parameters, 0.1, 0.1)
        found = objective.adjust_reference(reference, tracks, pose_parameters(body, parameters)).rotation_std
        ratio = (found / reference.rotation_std)[5, BEHIND]
        assert torch.allclose(ratio, torch.full_like(ratio, FULFILLED_STD_FACTOR)) == held


def test_where_few_statements_hold_the_reference_keeps_what_they_gained(near: KnownScene):
    scene = hidden(near)
    tracks = KeypointTracks.from_observations(scene.observations, scene.clip.times, scene.camera, CPU)
    body = load_landmark_body(scene.body)
    parameters = from_motion(body, scene.motion, CPU)
    reference, posed = reference_at(parameters, 0.1, 0.1), pose_parameters(body, parameters)
    for statement, holds in ((TRUE, True), (WRONG, False)):
        objective = text_objective([statement], 2, scene.camera.T_cam_world[:, :3, 1], scene.body, CPU)
        assert objective
        ratio = objective.adjust_reference(reference, tracks, posed).rotation_std / reference.rotation_std
        assert torch.allclose(ratio, torch.ones_like(ratio)) == holds


def test_no_person_is_pulled_to_an_absent_one(near: KnownScene):
    scene = near
    tracks = KeypointTracks.from_observations(scene.observations, scene.clip.times, scene.camera, CPU)
    body = load_landmark_body(scene.body)
    posed = pose_parameters(body, from_motion(body, scene.motion, CPU))
    text = [TimedStatement(Touch(0, "left_foot", 1, "head")), TimedStatement(DepthOrder(1, 0))]
    objective = text_objective(text, 2, scene.camera.T_cam_world[:, :3, 1], scene.body, CPU)
    assert objective
    weights = Weights(text=1.0)
    assert objective.loss(posed, tracks, weights) > 1
    present = tracks.present.clone()
    present[:, 1] = False
    assert objective.loss(posed, replace(tracks, present=present), weights) == 0


def test_statements_are_judged_in_the_vertical_of_the_floor(monkeypatch: pytest.MonkeyPatch):
    """A camera that is pitched by 30 degrees, and that is only assumed to be level."""
    scene, verticals = make_known_scene(np.radians(30)), []
    level = np.tile(np.diag([1.0, -1.0, -1.0, 1.0]), (len(scene.clip), 1, 1))
    camera = replace(scene.camera, T_cam_world=level, floor_found=False, up_std=0.0)
    loss = TextObjective.loss
    monkeypatch.setattr(TextObjective, "loss", lambda self, *given: verticals.append(self.up) or loss(self, *given))
    known, config = KnownPeople([TimedStatement(Posture(0, "upright"))]), OptimiseConfig(iterations=20)
    optimise(replace(scene.observed, camera=camera), scene.motion, scene.body, config, CPU, NullProgress(), known=known)
    assert verticals
    for up in verticals:
        assert up[0].numpy() @ scene.camera.up[0] > np.cos(np.radians(8))
