"""The stage on scenes with known truth: pairs come closer to it, unpaired people stay, and the camera may turn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from known_scenes import KnownScene, observe_exactly

from closemesh.body.motion import motion_joints
from closemesh.body.skinning import posed_joints
from closemesh.config.schema import Config, RefineConfig
from closemesh.core.progress import NullProgress
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.interaction_prior.refine import PairBlender, close_intervals, refine, refined_people
from closemesh.structures import BodyMotion, PoseUncertainty

QUICK = RefineConfig()


def joints(scene: KnownScene, motion: BodyMotion) -> np.ndarray:
    """[T, P, 22, 3]."""
    values = (torch.as_tensor(x, dtype=torch.float32) for x in (motion.betas, motion.rotations, motion.transl))
    return posed_joints(scene.body, *values)[..., :22, :].numpy()


def uncertainty_of(scene: KnownScene, people: int) -> PoseUncertainty:
    frames = len(scene.clip.times)
    return PoseUncertainty(
        rotation_std=np.full((frames, people, 22), 0.15, np.float32),
        pelvis_std=np.tile(np.array([0.02, 0.02, 0.2], np.float32), (frames, people, 1)),
        betas_std=np.full((people, 10), 0.3, np.float32),
    )


def run(scene: KnownScene, motion: BodyMotion, config: RefineConfig = QUICK) -> BodyMotion:
    uncertainty = uncertainty_of(scene, motion.num_people)
    return refine(
        scene.observed, motion, uncertainty, scene.body, Config(refine=config), torch.device("cpu"), NullProgress()
    )


def with_people(scene: KnownScene, places: list[tuple[int, float]]) -> KnownScene:
    """The same camera and floor; each person a copy of one of the scene's, moved so many meters to the right."""
    who = [k for k, _ in places]
    motion = scene.motion
    moved = motion.transl[:, who].copy()
    moved[..., 0] += np.array([x for _, x in places], np.float32)
    crowd = BodyMotion(
        body_model=motion.body_model,
        betas=motion.betas[who],
        rotations=motion.rotations[:, who],
        transl=moved,
        expression=motion.expression[:, who],
        valid=motion.valid[:, who],
        confidence=motion.confidence[:, who],
    )
    return replace(scene, motion=crowd, observations=observe_exactly(crowd, scene.camera, scene.body))


@pytest.fixture(scope="module")
def wrong(known_scene: KnownScene) -> BodyMotion:
    """Each person half a foot aside in the image, and a quarter of a meter off along the line of sight."""
    transl = known_scene.motion.transl.copy()
    transl[:, 0] += [0.04, 0.0, 0.25]
    transl[:, 1] -= [0.04, 0.0, 0.25]
    return known_scene.motion.with_pose(rotations=known_scene.motion.rotations, transl=transl)


def test_a_pair_comes_nearer_to_the_truth(known_scene: KnownScene, wrong: BodyMotion):
    truth = joints(known_scene, known_scene.motion)
    before, after = joints(known_scene, wrong), joints(known_scene, run(known_scene, wrong))

    def apart(found: np.ndarray) -> float:
        """Mean error of the distances between the two."""
        true, measured = (np.linalg.norm(j[:, 0, :, None] - j[:, 1, None], axis=-1) for j in (truth, found))
        return float(np.abs(measured - true).mean())

    assert apart(after) < 0.8 * apart(before)
    assert np.abs(after - truth)[..., :2].mean() < np.abs(before - truth)[..., :2].mean()


def test_an_unpaired_person_is_unchanged(known_scene: KnownScene):
    crowd = with_people(known_scene, [(0, 0.0), (1, 0.0), (0, -9.0)])
    refined = run(crowd, crowd.motion)
    for name in ("rotations", "transl"):
        found, first = getattr(refined, name), getattr(crowd.motion, name)
        assert np.array_equal(found[:, 2], first[:, 2])
        assert not np.allclose(found[:, :2], first[:, :2], atol=1e-3)
    assert np.array_equal(refined.betas[2], crowd.motion.betas[2])
    assert refined_people(crowd.motion, refined) == {0, 1}


def test_a_person_in_two_pairs_gets_the_mean_of_both(known_scene: KnownScene):
    row = with_people(known_scene, [(0, -0.95), (0, 0.0), (0, 0.95)])
    both = run(row, row.motion)
    left, right = (with_people(known_scene, places) for places in ([(0, -0.95), (0, 0.0)], [(0, 0.0), (0, 0.95)]))
    from_left, from_right = run(left, left.motion), run(right, right.motion)
    middle = (from_left.transl[:, 1] + from_right.transl[:, 0]) / 2
    assert np.allclose(both.transl[:, 1], middle, atol=5e-3)
    assert np.allclose(both.transl[:, 0], from_left.transl[:, 0], atol=5e-3)


def test_a_long_contact_is_refined_alike_in_all_frames(known_scene: KnownScene):
    """Intervals are crossfaded with each other, not with the motion before."""
    frames = np.arange(400) % len(known_scene.clip)
    motion = known_scene.motion.frames(frames)
    uncertainty = PoseUncertainty(
        np.full((400, 2, 22), 0.15, np.float32), np.full((400, 2, 3), 0.1, np.float32), np.ones((2, 10), np.float32)
    )
    scene = known_scene
    tracks = KeypointTracks.from_observations(scene.observations, scene.clip.times, scene.camera, "cpu")
    tracks = tracks.frames(torch.as_tensor(frames))
    blender = PairBlender(motion, uncertainty, known_scene.body, tracks)
    intervals = list(close_intervals(np.ones(400, bool), np.ones(400, bool), 160))
    assert len(intervals) == 3
    for interval, weight in intervals:
        state, _ = blender.pair(0, 1, interval)
        aside = replace(state, pelvis=state.pelvis + torch.tensor([1.0, 0, 0]))
        blender.add(0, 1, interval, aside, torch.as_tensor(weight))
    moved = (blender.motion().transl - motion.transl)[..., 0]
    assert np.allclose(moved, 1.0, atol=1e-4)


def test_all_people_stay_in_front_of_the_camera(known_scene: KnownScene):
    scene, count = known_scene, len(known_scene.clip)
    uncertainty = PoseUncertainty(
        np.full((count, 2, 22), 0.15, np.float32), np.full((count, 2, 3), 0.1, np.float32), np.ones((2, 10), np.float32)
    )
    tracks = KeypointTracks.from_observations(scene.observations, scene.clip.times, scene.camera, "cpu")
    blender = PairBlender(scene.motion, uncertainty, scene.body, tracks)
    state, _ = blender.pair(0, 1, slice(None))
    blender.add(0, 1, slice(None), replace(state, pelvis=-state.pelvis), torch.ones(count))
    joints = motion_joints(blender.motion(), scene.body)
    assert (joints[:, :, 0, 2] > 0).all()


def test_nothing_is_done_without_the_prior(known_scene: KnownScene, wrong: BodyMotion):
    assert run(known_scene, wrong, replace(QUICK, prior=False)) is wrong


def test_a_camera_that_is_turned_sees_the_same_people(known_scene: KnownScene, wrong: BodyMotion):
    """States are in a view of the pair, so that the place in the image matters little."""
    angle = 0.2
    c, s = np.cos(angle), np.sin(angle)
    R = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    scene = known_scene

    def turned(motion: BodyMotion) -> BodyMotion:
        pelvis = joints(scene, motion)[:, :, 0]
        rotations = motion.rotations.copy()
        rotations[:, :, 0] = R @ rotations[:, :, 0]
        moved = motion.transl + pelvis @ R.T - pelvis
        return motion.with_pose(rotations=rotations, transl=moved.astype(np.float32))

    aside = replace(scene, observations=observe_exactly(turned(scene.motion), scene.camera, scene.body))
    here, there = joints(scene, run(scene, wrong)), joints(scene, run(aside, turned(wrong)))
    moved = np.linalg.norm(here - joints(scene, wrong), axis=-1).mean()
    assert np.linalg.norm(here @ R.T - there, axis=-1).mean() < 0.25 * moved
