"""Words in the last stage: they decide what no keypoint shows, also of people near nobody, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from known_scenes import KnownScene, observe_exactly

from closemesh.body.loading import load_landmark_body
from closemesh.body.motion import pose_parameters
from closemesh.body.skeleton import JOINT_INDEX, KEYPOINT_INDEX
from closemesh.config.schema import OptimiseConfig
from closemesh.core.progress import NullProgress
from closemesh.fitting.keypoint_tracks import make_evidence, reference_at
from closemesh.fitting.objective import from_motion
from closemesh.fitting.optimizer import Weights
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.optimization.optimize import optimise
from closemesh.optimization.text_terms import ENOUGH, FIRM, UNSEEN, text_objective, unseen_joints
from closemesh.structures import BodyMotion
from closemesh.text.captioner import caption_motion
from closemesh.text.statements import DepthOrder, JointAngle, TimedStatement, Touch

CPU = torch.device("cpu")
BEHIND = 1  # Who stands behind the other.
ELBOW, WRIST = JOINT_INDEX["left_elbow"], KEYPOINT_INDEX["left_wrist"]
TRUE, WRONG = (TimedStatement(JointAngle(BEHIND, "left_elbow", bend)) for bend in ("slightly_bent", "bent"))
TRUTH = 45.0  # Degrees.


@pytest.fixture(scope="module")
def far(known_scene: KnownScene) -> KnownScene:
    """Two people too far from each other to be a pair."""
    return seen_at(known_scene, bent(known_scene, TRUTH))


@pytest.fixture(scope="module")
def near(known_scene: KnownScene) -> KnownScene:
    """One stands so near behind the other that his left arm is hidden."""
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
    keypoints, cue = scene.observations.keypoints.copy(), scene.observations.keypoints3d.copy()
    keypoints[:, BEHIND, WRIST, 2] = 0
    cue[:, BEHIND, WRIST, 3] = 0
    return replace(scene, observations=replace(scene.observations, keypoints=keypoints, keypoints3d=cue))


def bent(scene: KnownScene, degrees: float) -> BodyMotion:
    rotations = scene.motion.rotations.copy()
    rotations[:, BEHIND, ELBOW] = axis_angle_to_matrix(torch.tensor([0.0, -np.radians(degrees), 0.0])).numpy()
    return scene.motion.with_pose(rotations=rotations, transl=scene.motion.transl)


def optimised(scene: KnownScene, motion: BodyMotion, told: Sequence[TimedStatement] = ()) -> BodyMotion:
    config = OptimiseConfig(iterations=60)
    return optimise(scene.observed, motion, scene.body, config, CPU, NullProgress(), text=told)[1]


def elbow(motion: BodyMotion) -> float:
    """Degrees, the mean over the frames."""
    cosine = (np.trace(motion.rotations[:, BEHIND, ELBOW], axis1=-2, axis2=-1) - 1) / 2
    return float(np.degrees(np.arccos(cosine.clip(-1, 1))).mean())


def test_the_arm_is_behind_the_other_person(near: KnownScene):
    wrist, other = near.observations.keypoints[:, BEHIND, WRIST, :2], near.observations.keypoints[:, 0, :23, :2]
    shoulders = other[:, [KEYPOINT_INDEX["left_shoulder"], KEYPOINT_INDEX["right_shoulder"]], 0]
    assert (wrist[:, 0] > shoulders.min(1)).all() and (wrist[:, 0] < shoulders.max(1)).all()
    assert near.motion.transl[:, BEHIND, 2].min() > near.motion.transl[:, 0, 2].max()


def test_words_decide_what_is_hidden(scene: KnownScene):
    scene, first = hidden(scene), bent(scene, 90)
    assert elbow(optimised(scene, first)) == pytest.approx(90, abs=5), "without words it stays where it was"
    assert abs(elbow(optimised(scene, first, [TRUE])) - TRUTH) < 30  # Of 45; the words end at 65 degrees.


def test_keypoints_win_against_a_wrong_sentence(scene: KnownScene):
    first = bent(scene, TRUTH)
    assert abs(elbow(optimised(scene, first, [WRONG])) - TRUTH) < 5
    assert elbow(optimised(hidden(scene), first, [WRONG])) > TRUTH + 10, "the same words act where it is hidden"


def test_words_about_others_or_other_moments_change_nothing(near: KnownScene):
    scene = hidden(near)
    plain = optimised(scene, bent(scene, 90))
    others = optimised(scene, bent(scene, 90), [TimedStatement(JointAngle(2, "left_elbow", "straight"))])
    assert np.array_equal(plain.rotations, others.rotations)
    later = optimised(scene, bent(scene, 90), [replace(TRUE, start=100.0, end=101.0)])
    assert np.abs(elbow(plain) - elbow(later)) < 3


def test_only_what_is_hidden_of_who_is_spoken_of_is_loosened(near: KnownScene):
    scene = hidden(near)
    evidence = make_evidence(scene.observations, scene.clip.times, scene.camera, CPU)
    unseen = unseen_joints(evidence)
    assert unseen[:, BEHIND].sum(-1).tolist() == [2] * len(scene.clip), "elbow and wrist"
    assert not unseen[:, 0].any()
    body = load_landmark_body(scene.body)
    variables = from_motion(body, scene.motion, CPU)
    anchor, posed = reference_at(variables, 0.1, 0.1), pose_parameters(body, variables)
    for person, loose in ((BEHIND, True), (0, False)):
        told = [TimedStatement(JointAngle(person, "right_knee", "bent"), start=float(scene.clip.times[6]))]
        words = text_objective(told, 2, scene.camera.T_cam_world[:, :3, 1], scene.body, CPU)
        assert words
        ratio = words.adjust_reference(anchor, evidence, posed).rotation_spread / anchor.rotation_spread
        expected = torch.ones_like(ratio)
        if loose:
            expected[6:, BEHIND][:, [ELBOW, JOINT_INDEX["left_wrist"]]] = UNSEEN
        torch.testing.assert_close(ratio, expected)


def test_who_is_as_a_whole_description_has_him_is_held(near: KnownScene):
    scene, up_cam = hidden(near), near.camera.T_cam_world[:, :3, 1]
    evidence = make_evidence(scene.observations, scene.clip.times, scene.camera, CPU)
    body = load_landmark_body(scene.body)
    true = [one for one in caption_motion(scene.motion, scene.body, scene.clip.times, up_cam)]
    told = [replace(one, confidence=1.0) for one in true if one.statement.people == (BEHIND,)]
    assert len(told) > ENOUGH
    words = text_objective(told, 2, up_cam, scene.body, CPU)
    assert words
    for degrees, held in ((TRUTH, True), (170, False)):  # Of the hidden elbow.
        motion = scene.motion if held else bent(scene, degrees)
        variables = from_motion(body, motion, CPU)
        anchor = reference_at(variables, 0.1, 0.1)
        found = words.adjust_reference(anchor, evidence, pose_parameters(body, variables)).rotation_spread
        ratio = (found / anchor.rotation_spread)[5, BEHIND]
        assert torch.allclose(ratio, torch.full_like(ratio, FIRM)) == held


def test_nobody_is_pulled_to_somebody_who_is_away(near: KnownScene):
    scene = near
    evidence = make_evidence(scene.observations, scene.clip.times, scene.camera, CPU)
    body = load_landmark_body(scene.body)
    posed = pose_parameters(body, from_motion(body, scene.motion, CPU))
    told = [TimedStatement(Touch(0, "left_foot", 1, "head")), TimedStatement(DepthOrder(1, 0))]
    words = text_objective(told, 2, scene.camera.T_cam_world[:, :3, 1], scene.body, CPU)
    assert words
    weights = Weights(told=1.0)
    assert words.loss(posed, evidence, weights) > 1
    present = evidence.present.clone()
    present[:, 1] = 0
    assert words.loss(posed, replace(evidence, present=present), weights) == 0
