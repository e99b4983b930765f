"""Statements guide the refinement: true ones bring people together, wrong ones do not undo what keypoints show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from known_scenes import KnownScene, observe_exactly

from closemesh.body.capsules import NUM_POINTS, capsule_body
from closemesh.body.loading import load_landmark_body
from closemesh.body.motion import pelvis_of, transl_of
from closemesh.config.schema import Config, LanguageConfig, RefineConfig
from closemesh.core.progress import NullProgress
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.interaction_prior.guidance import TextGuidance
from closemesh.interaction_prior.refine import Prior, refine
from closemesh.interaction_prior.state import PairState
from closemesh.interaction_prior.windows import PairClip, cut_windows, window_layout
from closemesh.structures import BodyMotion, PoseUncertainty
from closemesh.text.alignment import load_alignment
from closemesh.text.captioner import caption_motion
from closemesh.text.losses import encode_statements, text_pose_distance
from closemesh.text.pose_features import PoseFeatures, pose_features
from closemesh.text.statements import JointAngle, Placement, Posture, Support, TimedStatement, Touch

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


def features(scene: KnownScene, motion: BodyMotion) -> PoseFeatures:
    points = load_landmark_body(scene.body).coarse(NUM_POINTS)
    [found] = pose_features(motion, points, capsule_body(scene.body), scene.camera.T_cam_world[:, :3, 1])
    return found


def run(
    scene: KnownScene,
    motion: BodyMotion,
    text: Sequence[TimedStatement] = (),
    config: Config | None = None,
    progress: NullProgress | None = None,
) -> BodyMotion:
    frames, people = motion.valid.shape
    uncertainty = PoseUncertainty(
        rotation_std=np.full((frames, people, 22), 0.15, np.float32),
        pelvis_std=np.tile(np.array([0.02, 0.02, 0.2], np.float32), (frames, people, 1)),
        betas_std=np.full((people, 10), 0.3, np.float32),
    )
    device, progress = torch.device("cpu"), progress or NullProgress()
    return refine(scene.observed, motion, uncertainty, scene.body, config or Config(), device, progress, text)


@pytest.fixture(scope="module")
def apart(touching: KnownScene) -> BodyMotion:
    """Too far from each other along the line of sight, which an image does not determine."""
    transl = touching.motion.transl.copy()
    transl[:, 0, 2] -= 0.15
    transl[:, 1, 2] += 0.15
    return touching.motion.with_pose(rotations=touching.motion.rotations, transl=transl)


def contacts_of(text: Sequence[TimedStatement]) -> list[TimedStatement]:
    return [one for one in text if isinstance(one.statement, Touch)]


def test_a_stated_contact_brings_people_together(touching: KnownScene, apart: BodyMotion):
    """Without the codebook, which does so too."""
    scene, config = touching, Config(refine=RefineConfig(codebook=False))
    up = scene.camera.T_cam_world[:, :3, 1]
    true = contacts_of(caption_motion(scene.motion, scene.body, scene.clip.times, up))
    assert true, "the scene has them touch"
    between = {
        name: features(scene, motion).part_distances(0, 1)
        for name, motion in (("true", scene.motion), ("first", apart))
    }
    for name, text in (("without", []), ("with", true)):
        between[name] = features(scene, run(scene, apart, text, config)).part_distances(0, 1)
    error = {name: float((gaps - between["true"]).abs().mean()) for name, gaps in between.items()}
    assert error["with"] < error["without"] < error["first"]


def test_wrong_statements_do_not_undo_what_keypoints_show(touching: KnownScene):
    scene = touching
    true = features(scene, scene.motion).keypoints
    plain, misled = (features(scene, run(scene, scene.motion, text)).keypoints for text in ((), WRONG))
    errors = [float((found - true)[..., :2].norm(dim=-1).mean()) for found in (plain, misled)]
    assert errors[1] < errors[0] + 0.01


def test_statements_about_others_change_nothing(touching: KnownScene, apart: BodyMotion):
    plain = run(touching, apart)
    others = [TimedStatement(Touch(0, "head", 2, "head")), TimedStatement(Posture(3, "face_up"))]
    guided = run(touching, apart, others)
    assert np.array_equal(plain.rotations, guided.rotations) and np.array_equal(plain.transl, guided.transl)


def test_statements_without_effect_in_this_stage_are_noted(touching: KnownScene):
    progress = NullProgress()
    assert run(touching, touching.motion, WRONG, Config(refine=RefineConfig(prior=False)), progress) is touching.motion
    transl = touching.motion.transl.copy()
    transl[:, 1, 0] += 5
    far = touching.motion.with_pose(rotations=touching.motion.rotations, transl=transl)
    run(touching, far, WRONG, progress=progress)
    assert [note.partition(" act in the last stage alone")[0] for note in progress.notes] == [
        "without the prior, statements",
        "no two people come close to each other: statements",
    ]


def test_the_alignment_moves_people_towards_the_statements(touching: KnownScene, apart: BodyMotion):
    """People end closer, in the space of texts and poses, to the statements about each of them."""
    text = [TimedStatement(JointAngle(0, "left_knee", "bent")), TimedStatement(Posture(1, "leaning_forward"))]
    alignment = load_alignment("cpu")
    encoded = encode_statements(alignment, text)
    up = torch.as_tensor(touching.camera.T_cam_world[:, :3, 1], dtype=torch.float32)
    times = torch.as_tensor(touching.clip.times, dtype=torch.float32)
    away = {}
    for name, language in (("without", LanguageConfig(alignment=False)), ("with", LanguageConfig())):
        found = run(touching, apart, text, Config(language=language))
        rotations, pelvis = torch.as_tensor(found.rotations[:, :, :22]), torch.as_tensor(found.transl)
        away[name] = float(text_pose_distance(encoded, alignment.pose_encoder, rotations, pelvis, up, times).mean())
    assert away["with"] < away["without"] - 0.0005  # 0.0011 measured: the keypoints show otherwise.
    plain, same = (
        run(touching, apart, (), Config(language=LanguageConfig(alignment=use))).rotations for use in (False, True)
    )
    assert np.array_equal(plain, same), "without statements nothing changes"


def test_statements_are_judged_in_the_vertical_of_each_frame(touching: KnownScene, monkeypatch: pytest.MonkeyPatch):
    """Also while the camera turns: in the mean of its verticals, people who stand lean."""
    scene, turned = touching, scene_that_pitches(touching, np.radians(np.linspace(0, 100, 12)))
    true = [
        one
        for one in caption_motion(scene.motion, scene.body, scene.clip.times, scene.camera.up)
        if isinstance(one.statement, Posture) or (isinstance(one.statement, Placement) and "above" in str(one))
    ]
    assert {type(one.statement) for one in true} == {Posture, Placement}
    energies = []

    def judge(prior: Prior, clip: PairClip, text: TextGuidance) -> PairState:
        layout = window_layout(len(clip), "cpu")
        windows = cut_windows(clip, layout)
        for up in (text.up, text.up.mean(0).expand_as(text.up)):
            guidance = replace(text, up=up).windows(layout)
            energies.append(float(guidance.statement_energy(windows, prior.sampler.body, 1.0)(windows.mean)))
        return clip.state

    monkeypatch.setattr("closemesh.interaction_prior.refine.refine_interval", judge)
    run(turned, turned.motion, true)
    assert energies[0] < 0.1 * energies[1]


def scene_that_pitches(scene: KnownScene, angles: np.ndarray) -> KnownScene:
    """The same people, seen by a camera that is pitched by these angles more, one for each frame."""
    R = axis_angle_to_matrix(torch.tensor([[angle, 0.0, 0.0] for angle in angles])).numpy()
    motion, T_cam_world = scene.motion, scene.camera.T_cam_world.copy()
    betas = torch.as_tensor(motion.betas)
    pelvis = pelvis_of(scene.body, betas, torch.as_tensor(motion.transl)).numpy()
    rotations = motion.rotations.copy()
    rotations[:, :, 0] = R[:, None] @ rotations[:, :, 0]
    moved = torch.as_tensor(np.einsum("tij,tpj->tpi", R, pelvis), dtype=torch.float32)
    T_cam_world[:, :3] = R @ T_cam_world[:, :3]
    transl = transl_of(scene.body, betas, moved).numpy()
    camera = replace(scene.camera, T_cam_world=T_cam_world)
    return replace(scene, camera=camera, motion=motion.with_pose(rotations=rotations, transl=transl))
