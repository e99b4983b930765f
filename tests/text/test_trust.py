"""What is believed: what the picture shows otherwise is not, nor what is said otherwise before and after."""

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


def believed(
    scene: KnownScene, told: Sequence[TimedStatement], hidden: Sequence[int] = ()
) -> tuple[TimedStatement, ...]:
    """What is left of words about the known scene: joints are known to 3 degrees, hidden ones hardly at all."""
    frames, people = scene.motion.valid.shape
    rotations = np.full((frames, people, 22), 0.05, np.float32)
    rotations[..., list(hidden)] = 1.0
    pelvis, betas = np.full((frames, people, 3), 0.02, np.float32), np.full((people, 10), 0.1, np.float32)
    given = scene.motion, PoseUncertainty(rotations, pelvis, betas), scene.body, scene.clip.times
    return calibrate_confidence(told, *given, scene.camera.T_cam_world[:, :3, 1])


@pytest.fixture(scope="module")
def true(known_scene: KnownScene) -> tuple[TimedStatement, ...]:
    scene = known_scene
    said = caption_motion(scene.motion, scene.body, scene.clip.times, scene.camera.T_cam_world[:, :3, 1])
    return tuple(replace(one, confidence=0.9) for one in said)


def confidence_of(told: Sequence[TimedStatement], statement: Statement) -> float:
    [found] = {one.confidence for one in told if one.statement == statement}
    return found


def test_what_the_picture_shows_is_believed_and_what_it_contradicts_is_not(known_scene: KnownScene, true):
    wrong = [
        TimedStatement(Posture(0, "upside_down"), confidence=0.9),
        TimedStatement(JointAngle(1, "left_knee", "sharply_bent"), confidence=0.9),
        TimedStatement(Placement(0, "left_foot", "above", 0, "head"), confidence=0.9),
        TimedStatement(Touch(0, "left_foot", 1, "head"), confidence=0.9),
    ]
    found = believed(known_scene, [*true, *wrong])
    assert all(confidence_of(found, one.statement) < 0.3 for one in wrong)
    # Of few statements some stand at the border of their range, which a pose known to 3 degrees may be beyond.
    assert np.mean([one.confidence for one in found[: len(true)]]) > 0.9


def test_what_is_hidden_is_believed_by_how_reliable_the_rest_is(known_scene: KnownScene, true):
    elbow, hidden = JointAngle(0, "left_elbow", "sharply_bent"), (16, 18, 20)
    others = [one for one in true if one.statement.topic != elbow.topic]
    wrong = [TimedStatement(Posture(person, "upside_down"), confidence=0.9) for person in (0, 1)]
    wrong += [TimedStatement(ArmHeight(1, side, "overhead"), confidence=0.9) for side in ("left", "right")]
    wrong += [
        TimedStatement(JointAngle(1, f"{side}_{joint}", "sharply_bent"))
        for side in ("left", "right")
        for joint in ("knee", "hip")
    ]
    after_true = confidence_of(believed(known_scene, [*others, TimedStatement(elbow, confidence=0.9)], hidden), elbow)
    after_false = confidence_of(believed(known_scene, [*wrong, TimedStatement(elbow, confidence=0.9)], hidden), elbow)
    assert after_true > 0.5 > after_false


def test_who_says_otherwise_before_and_after_is_not_believed(known_scene: KnownScene):
    times, hidden = known_scene.clip.times, (17, 19, 21)
    bends = ("slightly_bent", "sharply_bent", "slightly_bent")
    borders = np.linspace(times[0], times[-1], 4)
    told = [
        TimedStatement(JointAngle(1, "right_elbow", bend), float(start), float(end), 0.7)
        for bend, start, end in zip(bends, borders[:-1], borders[1:], strict=True)
    ]
    first, odd, last = (one.confidence for one in believed(known_scene, told, hidden))
    assert odd < 0.5 < min(first, last)
    alone = believed(known_scene, told[1:2], hidden)[0].confidence
    assert odd < alone


def test_what_is_said_again_holds_between(known_scene: KnownScene):
    times = known_scene.clip.times
    step = float(times[1] - times[0])
    upright, down = Posture(0, "upright"), ArmHeight(0, "left", "down")
    told = [
        TimedStatement(upright, times[0], times[0]),
        TimedStatement(upright, times[3], times[3]),
        TimedStatement(down, times[0], times[0]),
    ]
    first, second, other = believed(known_scene, told)
    assert first.end == pytest.approx(times[3]) and second.end == times[3] and other.end == times[0]
    assert step > 0


def test_words_about_nobody_are_left_out(known_scene: KnownScene):
    assert believed(known_scene, [TimedStatement(Posture(5, "upright"))]) == ()
    assert believed(known_scene, []) == ()
