"""Words in the last stage: they decide what no keypoint shows, also of people near nobody, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from known_scenes import KnownScene, observe_exactly

from closemesh.body.load import fitting_points
from closemesh.body.skeleton import JOINT_INDEX, KEYPOINT_INDEX
from closemesh.body.variables import pose_variables
from closemesh.config import OptimiseConfig
from closemesh.fitting.anchor import anchor_at
from closemesh.fitting.evidence import make_evidence
from closemesh.fitting.result import from_motion
from closemesh.fitting.schedule import Weights
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.language.statements import DepthOrder, JointAngle, Touch
from closemesh.language.told import Told
from closemesh.optimise.optimise import optimise
from closemesh.optimise.words import UNSEEN, unseen_joints, words_of
from closemesh.progress import Silent
from closemesh.scene import BodyMotion

CPU = torch.device("cpu")
ELBOW = JOINT_INDEX["right_elbow"]
TRUE, WRONG = (Told(JointAngle(0, "right_elbow", bend)) for bend in ("slightly_bent", "sharply_bent"))
TRUTH = 57.3  # Degrees.


@pytest.fixture(scope="module")
def together(known_scene: KnownScene) -> KnownScene:
    """Person 1 stands so near that person 0's right arm is hidden behind him."""
    transl = known_scene.motion.transl.copy()
    transl[:, 1] += 0.6 * (transl[:, 0] - transl[:, 1])
    motion = known_scene.motion.with_pose(rotations=known_scene.motion.rotations, transl=transl)
    seen = observe_exactly(motion, known_scene.camera, known_scene.body)
    return replace(known_scene, motion=motion, observations=seen)


def hidden(scene: KnownScene) -> KnownScene:
    """The same without the wrist of person 0's right arm."""
    keypoints, cue = scene.observations.keypoints.copy(), scene.observations.cue_points.copy()
    keypoints[:, 0, KEYPOINT_INDEX["right_wrist"], 2] = 0
    cue[:, 0, KEYPOINT_INDEX["right_wrist"], 3] = 0
    return replace(scene, observations=replace(scene.observations, keypoints=keypoints, cue_points=cue))


def bent(scene: KnownScene, degrees: float) -> BodyMotion:
    rotations = scene.motion.rotations.copy()
    rotations[:, 0, ELBOW] = axis_angle_to_matrix(torch.tensor([0.0, np.radians(degrees), 0.0])).numpy()
    return scene.motion.with_pose(rotations=rotations, transl=scene.motion.transl)


def optimised(scene: KnownScene, motion: BodyMotion, told: Sequence[Told] = ()) -> BodyMotion:
    config = OptimiseConfig(iterations=60)
    given = scene.clip, scene.observations, scene.camera, motion, scene.body, config, CPU, Silent()
    return optimise(*given, told=told)[1]


def elbow(motion: BodyMotion) -> float:
    """Degrees, the mean over the frames."""
    cosine = (np.trace(motion.rotations[:, 0, ELBOW], axis1=-2, axis2=-1) - 1) / 2
    return float(np.degrees(np.arccos(cosine.clip(-1, 1))).mean())


@pytest.mark.parametrize("near", [True, False])
def test_words_decide_what_is_hidden(known_scene: KnownScene, together: KnownScene, near: bool):
    scene = hidden(together if near else known_scene)
    first = bent(scene, 100)
    assert elbow(optimised(scene, first)) == pytest.approx(100, abs=5), "without words it stays where it was"
    assert abs(elbow(optimised(scene, first, [TRUE])) - TRUTH) < 20  # 4 and 15 measured; words end at 65 degrees.


@pytest.mark.parametrize("near", [True, False])
def test_keypoints_win_against_a_wrong_sentence(known_scene: KnownScene, together: KnownScene, near: bool):
    scene = together if near else known_scene
    assert abs(elbow(optimised(scene, bent(scene, TRUTH), [WRONG])) - TRUTH) < 5
    assert elbow(optimised(hidden(scene), bent(scene, TRUTH), [WRONG])) > TRUTH + 15, "the same words act where it is"


def test_words_about_others_or_other_moments_change_nothing(together: KnownScene):
    scene = hidden(together)
    plain = optimised(scene, bent(scene, 100))
    others = optimised(scene, bent(scene, 100), [Told(JointAngle(2, "right_elbow", "straight"))])
    assert np.array_equal(plain.rotations, others.rotations)
    later = optimised(scene, bent(scene, 100), [replace(TRUE, start=100.0, end=101.0)])
    assert np.abs(elbow(plain) - elbow(later)) < 3


def test_only_what_is_hidden_of_who_is_spoken_of_is_loosened(together: KnownScene):
    scene = hidden(together)
    evidence = make_evidence(scene.observations, scene.clip.times, scene.camera, CPU)
    unseen = unseen_joints(evidence)
    assert unseen[:, 0].sum(-1).tolist() == [2] * len(scene.clip), "elbow and wrist"
    assert not unseen[:, 1].any()
    body = fitting_points(scene.body)
    anchor = anchor_at(from_motion(body, scene.motion, CPU), 0.1, 0.1)
    for person, loose in ((0, True), (1, False)):
        told = [Told(JointAngle(person, "left_knee", "bent"), start=float(scene.clip.times[6]))]
        words = words_of(told, 2, scene.camera.T_cam_world[:, :3, 1], scene.body, CPU)
        assert words
        ratio = words.loosened(anchor, evidence).rotation_spread / anchor.rotation_spread
        expected = torch.ones_like(ratio)
        if loose:
            expected[6:, 0][:, [ELBOW, JOINT_INDEX["right_wrist"]]] = UNSEEN
        torch.testing.assert_close(ratio, expected)


def test_nobody_is_pulled_to_somebody_who_is_away(together: KnownScene):
    scene = together
    evidence = make_evidence(scene.observations, scene.clip.times, scene.camera, CPU)
    body = fitting_points(scene.body)
    posed = pose_variables(body, from_motion(body, scene.motion, CPU))
    told = [Told(Touch(0, "left_foot", 1, "head")), Told(DepthOrder(1, 0))]
    words = words_of(told, 2, scene.camera.T_cam_world[:, :3, 1], scene.body, CPU)
    assert words
    weights = Weights(told=1.0)
    assert words.loss(posed, evidence, weights) > 1
    present = evidence.present.clone()
    present[:, 1] = 0
    assert words.loss(posed, replace(evidence, present=present), weights) == 0
