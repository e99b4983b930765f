"""Posterior confidence: low for statements that contradict the motion, or the statements before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from known_scenes import KnownScene

from closemesh.structures import PoseUncertainty
from closemesh.text.calibration import calibrate_confidence
from closemesh.text.captioner import caption_motion
from closemesh.text.statements import ArmHeight, JointAngle, Placement, Posture, Statement, TimedStatement, Touch


def calibrated(
    scene: KnownScene, statements: Sequence[TimedStatement], hidden: Sequence[int] = ()
) -> tuple[TimedStatement, ...]:
    """Calibrated statements about the known scene; joints are known to 3 degrees, hidden ones hardly at all."""
    frames, people = scene.motion.valid.shape
    rotations = np.full((frames, people, 22), 0.05, np.float32)
    rotations[..., list(hidden)] = 1.0
    pelvis, betas = np.full((frames, people, 3), 0.02, np.float32), np.full((people, 10), 0.1, np.float32)
    uncertainty, up_cam = PoseUncertainty(rotations, pelvis, betas), scene.camera.T_cam_world[:, :3, 1]
    return calibrate_confidence(statements, scene.motion, uncertainty, scene.body, scene.clip.times, up_cam)


@pytest.fixture(scope="module")
def true(known_scene: KnownScene) -> tuple[TimedStatement, ...]:
    scene = known_scene
    captions = caption_motion(scene.motion, scene.body, scene.clip.times, scene.camera.T_cam_world[:, :3, 1])
    return tuple(replace(one, confidence=0.9) for one in captions)


def confidence_of(statements: Sequence[TimedStatement], statement: Statement) -> float:
    [found] = {one.confidence for one in statements if one.statement == statement}
    return found


def test_statements_that_agree_with_the_motion_are_confirmed_and_others_are_not(known_scene: KnownScene, true):
    wrong = [
        TimedStatement(Posture(0, "upside_down"), confidence=0.9),
        TimedStatement(JointAngle(1, "left_knee", "sharply_bent"), confidence=0.9),
        TimedStatement(Placement(0, "left_foot", "above", 0, "head"), confidence=0.9),
        TimedStatement(Touch(0, "left_foot", 1, "head"), confidence=0.9),
    ]
    found = calibrated(known_scene, [*true, *wrong])
    assert all(confidence_of(found, one.statement) < 0.3 for one in wrong)
    # Some statements are at the border of their range, which a pose known to 3 degrees may exceed.
    assert np.mean([one.confidence for one in found[: len(true)]]) > 0.9


def test_statements_about_hidden_limbs_count_by_the_reliability_of_the_others(known_scene: KnownScene, true):
    elbow, hidden = JointAngle(0, "left_elbow", "sharply_bent"), (16, 18, 20)
    others = [one for one in true if one.statement.topic != elbow.topic]
    wrong = [TimedStatement(Posture(person, "upside_down"), confidence=0.9) for person in (0, 1)]
    wrong += [TimedStatement(ArmHeight(1, side, "overhead"), confidence=0.9) for side in ("left", "right")]
    wrong += [
        TimedStatement(JointAngle(1, f"{side}_{joint}", "sharply_bent"))
        for side in ("left", "right")
        for joint in ("knee", "hip")
    ]
    after_true = confidence_of(calibrated(known_scene, [*others, TimedStatement(elbow, confidence=0.9)], hidden), elbow)
    after_false = confidence_of(calibrated(known_scene, [*wrong, TimedStatement(elbow, confidence=0.9)], hidden), elbow)
    assert after_true > 0.5 > after_false


def test_a_statement_that_differs_from_those_before_and_after_is_rejected(known_scene: KnownScene):
    times, hidden = known_scene.clip.times, (17, 19, 21)
    bends = ("slightly_bent", "sharply_bent", "slightly_bent")
    borders = np.linspace(times[0], times[-1], 4)
    statements = [
        TimedStatement(JointAngle(1, "right_elbow", bend), float(start), float(end), 0.7)
        for bend, start, end in zip(bends, borders[:-1], borders[1:], strict=True)
    ]
    first, odd, last = (one.confidence for one in calibrated(known_scene, statements, hidden))
    assert odd < 0.5 < min(first, last)
    single = calibrated(known_scene, statements[1:2], hidden)[0].confidence
    assert odd < single


def test_a_repeated_statement_holds_between_its_intervals(known_scene: KnownScene):
    times = known_scene.clip.times
    step = float(times[1] - times[0])
    upright, down = Posture(0, "upright"), ArmHeight(0, "left", "down")
    statements = [
        TimedStatement(upright, times[0], times[0]),
        TimedStatement(upright, times[3], times[3]),
        TimedStatement(down, times[0], times[0]),
    ]
    first, second, other = calibrated(known_scene, statements)
    assert first.end == pytest.approx(times[3]) and second.end == times[3] and other.end == times[0]
    assert step > 0


def test_statements_about_missing_people_are_left_out(known_scene: KnownScene):
    assert calibrated(known_scene, [TimedStatement(Posture(5, "upright"))]) == ()
    assert calibrated(known_scene, []) == ()
