"""False statements of a scene: the requested fraction, never a true one, and the same every time."""

from __future__ import annotations

import numpy as np
import pytest
from known_scenes import KnownScene

from closemesh.lab.evaluation.text_benchmark import SimulatedAnnotator, contradictions, simulate_annotator
from closemesh.text.annotate import KeyFrame
from closemesh.text.captioner import statement_confidences
from closemesh.text.statements import TimedStatement, Touch

MOMENTS = (KeyFrame((0, 1), 1, 1.0), KeyFrame((0,), 6, 0.5))
ANSWERS = 5


@pytest.fixture(scope="module")
def seen(known_scene: KnownScene) -> SimulatedAnnotator:
    """The two people brought together until they touch."""
    return of_scene(known_scene)


def of_scene(scene: KnownScene) -> SimulatedAnnotator:
    transl = scene.motion.transl.copy()
    transl[:, 1] += 0.6 * (transl[:, 0] - transl[:, 1])
    motion = scene.motion.with_pose(transl=transl)
    return simulate_annotator(MOMENTS, motion, scene.body, scene.clip.times, scene.camera.T_cam_world[:, :3, 1])


def by_moment(seen: SimulatedAnnotator, fraction: float, seed: int = 3) -> list[tuple[TimedStatement, ...]]:
    """The statements of each moment."""
    annotated = seen.annotate(fraction, seed, ANSWERS)
    return [tuple(one for one in annotated if (one.start, one.end) == span) for span in seen.spans]


def test_true_statements_are_about_the_people_of_a_moment(seen: SimulatedAnnotator):
    both, one = by_moment(seen, 0.0)
    assert [{annotated.statement for annotated in part} for part in (both, one)] == [set(part) for part in seen.true]
    assert any(isinstance(annotated.statement, Touch) for annotated in both)
    assert all(annotated.statement.people == (0,) for annotated in one)
    agreed = (ANSWERS + 0.5) / (ANSWERS + 1)
    assert all(annotated.confidence == pytest.approx(agreed, abs=1e-3) for annotated in (*both, *one))


@pytest.mark.parametrize("fraction", [0.2, 0.4, 1.0])
def test_the_requested_fraction_is_false(known_scene: KnownScene, seen: SimulatedAnnotator, fraction: float):
    true, annotated = by_moment(seen, 0.0), by_moment(seen, fraction)
    count = sum(map(len, true))
    assert sum(map(len, annotated)) == count
    wrong = [set(b) - set(a) for a, b in zip(true, annotated, strict=True)]
    assert sum(map(len, wrong)) == round(fraction * count)
    up_cam = known_scene.camera.T_cam_world[:, :3, 1]
    transl = known_scene.motion.transl.copy()
    transl[:, 1] += 0.6 * (transl[:, 0] - transl[:, 1])
    motion = known_scene.motion.with_pose(transl=transl)
    for moment, false in zip(MOMENTS, wrong, strict=True):
        statements = [one.statement for one in false]
        if statements:
            confidences = statement_confidences(
                statements, motion.frames([moment.frame]), known_scene.body, up_cam[[moment.frame]]
            )
            assert np.all(confidences < 0.3)
    assert {one.confidence for part in annotated for one in part} == {one.confidence for part in true for one in part}


def test_false_statements_are_of_the_same_kind_and_people(seen: SimulatedAnnotator):
    for part in seen.true:
        for statement in part:
            for other in contradictions(statement):
                assert type(other) is type(statement) and other.people == statement.people and other != statement
                if isinstance(statement, Touch) and isinstance(other, Touch):
                    assert (statement.part_a == other.part_a) != (statement.part_b == other.part_b)
                else:
                    assert other.topic == statement.topic


def test_a_seed_decides_and_a_larger_fraction_keeps_what_a_smaller_one_replaced(
    known_scene: KnownScene, seen: SimulatedAnnotator
):
    again = of_scene(known_scene)
    assert again.annotate(0.4, 3, ANSWERS) == seen.annotate(0.4, 3, ANSWERS) != seen.annotate(0.4, 4, ANSWERS)
    true, some, more = (set(seen.annotate(fraction, 3, ANSWERS)) for fraction in (0.0, 0.2, 0.4))
    assert some - true <= more - true
