"""Descriptions guide the refinement: true ones bring people together, wrong ones do not undo what the picture shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from known_scenes import KnownScene, observe_exactly

from closemesh.body.capsules import NUM_POINTS, capsule_body
from closemesh.body.loading import load_landmark_body
from closemesh.config.schema import LanguageConfig, RefineConfig
from closemesh.core.progress import NullProgress
from closemesh.interaction_prior.refine import refine
from closemesh.structures import BodyMotion, PoseUncertainty
from closemesh.text.alignment import load_alignment
from closemesh.text.captioner import caption_motion
from closemesh.text.losses import encode_statements, text_pose_distance
from closemesh.text.predicates import PoseFeatures, pose_features
from closemesh.text.statements import JointAngle, Posture, Support, TimedStatement, Touch

WRONG = (
    TimedStatement(Posture(0, "upside_down")),
    TimedStatement(Posture(1, "face_up")),
    TimedStatement(JointAngle(0, "left_elbow", "sharply_bent")),
    TimedStatement(JointAngle(1, "left_knee", "sharply_bent")),
    TimedStatement(Support(0, 1)),
    TimedStatement(Touch(0, "left_foot", 1, "head")),
)


@pytest.fixture(scope="module")
def touching(known_scene: KnownScene) -> KnownScene:
    """The two stand so near that the arm of one is at the trunk of the other."""
    transl = known_scene.motion.transl.copy()
    transl[:, 1] += 0.6 * (transl[:, 0] - transl[:, 1])
    motion = known_scene.motion.with_pose(rotations=known_scene.motion.rotations, transl=transl)
    return replace(
        known_scene, motion=motion, observations=observe_exactly(motion, known_scene.camera, known_scene.body)
    )


def figures(scene: KnownScene, motion: BodyMotion) -> PoseFeatures:
    points = load_landmark_body(scene.body).coarse(NUM_POINTS)
    [found] = pose_features(motion, points, capsule_body(scene.body), scene.camera.T_cam_world[:, :3, 1])
    return found


def run(
    scene: KnownScene,
    motion: BodyMotion,
    told: Sequence[TimedStatement] = (),
    config: RefineConfig | None = None,
    progress: NullProgress | None = None,
    language: LanguageConfig | None = None,
) -> BodyMotion:
    frames, people = motion.valid.shape
    spread = PoseUncertainty(
        rotation_std=np.full((frames, people, 22), 0.15, np.float32),
        pelvis_std=np.tile(np.array([0.02, 0.02, 0.2], np.float32), (frames, people, 1)),
        betas_std=np.full((people, 10), 0.3, np.float32),
    )
    arguments = (scene.observed, motion, spread, scene.body, config or RefineConfig())
    return refine(*arguments, torch.device("cpu"), progress or NullProgress(), told, language)


@pytest.fixture(scope="module")
def apart(touching: KnownScene) -> BodyMotion:
    """Too far from each other along the line of sight, as a picture cannot tell."""
    transl = touching.motion.transl.copy()
    transl[:, 0, 2] -= 0.15
    transl[:, 1, 2] += 0.15
    return touching.motion.with_pose(rotations=touching.motion.rotations, transl=transl)


def of_touch(told: Sequence[TimedStatement]) -> list[TimedStatement]:
    return [one for one in told if isinstance(one.statement, Touch)]


def test_a_touch_that_is_told_brings_people_together(touching: KnownScene, apart: BodyMotion):
    scene = touching
    up = scene.camera.T_cam_world[:, :3, 1]
    true = of_touch(caption_motion(scene.motion, scene.body, scene.clip.times, up))
    assert true, "the scene has them touch"
    between = {name: figures(scene, motion).gaps(0, 1) for name, motion in (("true", scene.motion), ("first", apart))}
    for name, told in (("untold", []), ("told", true)):
        between[name] = figures(scene, run(scene, apart, told)).gaps(0, 1)
    error = {name: float((gaps - between["true"]).abs().mean()) for name, gaps in between.items()}
    assert error["told"] < error["untold"] < error["first"]


def test_wrong_words_do_not_undo_what_is_seen(touching: KnownScene):
    scene = touching
    true = figures(scene, scene.motion).keypoints
    plain, misled = (figures(scene, run(scene, scene.motion, told)).keypoints for told in ((), WRONG))
    errors = [float((found - true)[..., :2].norm(dim=-1).mean()) for found in (plain, misled)]
    assert errors[1] < errors[0] + 0.01


def test_words_about_others_change_nothing(touching: KnownScene, apart: BodyMotion):
    plain = run(touching, apart)
    told = run(touching, apart, [TimedStatement(Touch(0, "head", 2, "head")), TimedStatement(Posture(3, "face_up"))])
    assert np.array_equal(plain.rotations, told.rotations) and np.array_equal(plain.transl, told.transl)


def test_words_that_this_stage_does_not_heed_are_noted(touching: KnownScene):
    progress = NullProgress()
    assert run(touching, touching.motion, WRONG, RefineConfig(prior=False), progress) is touching.motion
    transl = touching.motion.transl.copy()
    transl[:, 1, 0] += 5
    far = touching.motion.with_pose(rotations=touching.motion.rotations, transl=transl)
    run(touching, far, WRONG, progress=progress)
    assert [note.partition("last stage alone")[2] for note in progress.notes] == [
        " without the prior",
        ": no two of them come near each other",
    ]


def test_the_alignment_pulls_towards_the_words(touching: KnownScene, apart: BodyMotion):
    """People end nearer, in the space of texts and poses, to what is told of each of them."""
    told = [TimedStatement(JointAngle(0, "left_knee", "bent")), TimedStatement(Posture(1, "leaning_forward"))]
    alignment = load_alignment("cpu")
    sayings = encode_statements(alignment, told)
    up = torch.as_tensor(touching.camera.T_cam_world[:, :3, 1], dtype=torch.float32)
    times = torch.as_tensor(touching.clip.times, dtype=torch.float32)
    away = {}
    for name, alone in (("without", LanguageConfig(alignment=False)), ("with", LanguageConfig())):
        found = run(touching, apart, told, language=alone)
        rotations, pelvis = torch.as_tensor(found.rotations[:, :, :22]), torch.as_tensor(found.transl)
        away[name] = float(text_pose_distance(sayings, alignment.pose_encoder, rotations, pelvis, up, times).mean())
    assert away["with"] < away["without"] - 0.002  # 0.004 measured: the picture shows otherwise.
    plain, same = (
        run(touching, apart, (), language=LanguageConfig(alignment=heeded)).rotations for heeded in (False, True)
    )
    assert np.array_equal(plain, same), "nothing is told, nothing pulls"
