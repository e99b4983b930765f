"""All people jointly: sizes agree on one floor, penetration vanishes, contact stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from known_scenes import observe_exactly

from closemesh.body.loading import load_bundled_body, load_landmark_body
from closemesh.body.motion import motion_in_world
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.body.skinning import skin
from closemesh.config.schema import OptimiseConfig
from closemesh.contact.measure import measure_contacts
from closemesh.core.errors import InputError
from closemesh.core.progress import NullProgress
from closemesh.fitting.keypoint_tracks import KeypointTracks, PoseReference
from closemesh.fitting.objective import FitModel, from_motion
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.losses.pose_prior import load_pose_prior
from closemesh.optimization.floor_alignment import FloorEvidence, align_to_floor
from closemesh.optimization.optimize import KnownPeople, optimise
from closemesh.structures import ObservedClip

CPU = torch.device("cpu")


def _lowest(motion, body) -> np.ndarray:
    values = (torch.as_tensor(x, dtype=torch.float32) for x in (motion.betas, motion.rotations, motion.transl))
    return skin(body, *values)[0][..., 1].amin(-1).numpy()  # [T, P]


def test_a_person_put_too_far_away_comes_back_to_the_floor(known_scene):
    scene = known_scene
    transl = scene.motion.transl.copy()
    transl[:, 1] *= 1.25  # Farther along the viewing rays: the same picture, feet under the floor.
    wrong = scene.motion.with_pose(transl=transl)
    config = OptimiseConfig(iterations=60)
    camera, motion, _ = optimise(scene.observed, wrong, scene.body, config, CPU, NullProgress())
    heights = _lowest(motion_in_world(motion, camera, scene.body), scene.body)
    assert camera.floor_found
    assert np.abs(np.median(heights, axis=0)).max() < 0.06  # 4 cm measured, of 23 cm before.
    tilt = np.arccos(np.clip(camera.T_cam_world[0, :3, 1] @ scene.camera.T_cam_world[0, :3, 1], -1, 1))
    assert np.degrees(tilt) < 8


@pytest.fixture(scope="module")
def overlapping(known_scene):
    """The same people, face to face, one hand of person 0 several centimeters inside the other's chest."""
    scene, body = known_scene, load_bundled_body("light")
    frames = 4
    R_cam_world = scene.camera.T_cam_world[0, :3, :3]
    pose = np.zeros((frames, 2, 55, 3), np.float32)
    for person in (0, 1):
        pose[:, person, JOINT_INDEX["left_shoulder"]] = [0, -0.3, -1.1]
        pose[:, person, JOINT_INDEX["right_shoulder"]] = [0, 0.3, 1.1]
    pose[:, 0, JOINT_INDEX["right_shoulder"]] = [0, 1.35, 0.15]
    rotations = axis_angle_to_matrix(torch.as_tensor(pose)).numpy()
    yaw = axis_angle_to_matrix(torch.tensor([[0.0, np.pi / 2, 0.0], [0.0, -np.pi / 2, 0.0]])).numpy()
    rotations[:, :, 0] = R_cam_world @ yaw
    center = scene.motion.transl[0, 0]
    transl = np.stack([center + R_cam_world @ [-0.40, 0, 0], center + R_cam_world @ [0.25, 0, 0.3]])
    motion = replace(
        scene.motion,
        rotations=rotations.astype(np.float32),
        transl=np.tile(transl, (frames, 1, 1)).astype(np.float32),
        expression=np.zeros((frames, 2, 10), np.float32),
        valid=np.ones((frames, 2), bool),
        confidence=np.ones((frames, 2), np.float32),
    )
    camera = replace(scene.camera, T_cam_world=scene.camera.T_cam_world[:frames])
    clip = replace(scene.clip, frame_indices=np.arange(frames), times=scene.clip.times[:frames])
    return clip, camera, motion, observe_exactly(motion, camera, body), body


def test_penetration_vanishes_and_contact_stays(overlapping):
    clip, camera, motion, observations, body = overlapping
    refined = {
        physics: optimise(
            ObservedClip(clip, observations, camera),
            motion,
            body,
            OptimiseConfig(iterations=80, physics=physics),
            CPU,
            NullProgress(),
        )[1]
        for physics in (True, False)
    }
    (before,) = measure_contacts(motion, body, NullProgress())
    (after,) = measure_contacts(refined[True], body, NullProgress())
    (without,) = measure_contacts(refined[False], body, NullProgress())
    assert 0.04 < before.depth.max() < 0.15
    assert after.depth.max() < 0.35 * before.depth.max()
    assert after.depth.max() < 0.5 * without.depth.max()
    assert after.distance.max() < 0.02  # Still touching in every frame.


@pytest.mark.parametrize("pair", [(0, 2), (1, 1), (-1, 0)])
def test_a_pair_that_is_not_there_is_one_clear_line(known_scene, pair):
    scene = known_scene
    config = OptimiseConfig(iterations=1, pairs=(pair,))
    with pytest.raises(InputError, match="two different people from 0 to 1"):
        optimise(scene.observed, scene.motion, scene.body, config, CPU, NullProgress())


def test_only_unpaired_people_are_aligned(known_scene):
    """People near each other keep their distance, whatever the floor says."""
    scene = known_scene
    transl = scene.motion.transl.copy()
    transl[:, 1] *= 1.25
    wrong = scene.motion.with_pose(transl=transl)
    tracks = KeypointTracks.from_observations(scene.observations, scene.clip.times, scene.camera, CPU)
    model = FitModel(load_landmark_body(scene.body), load_pose_prior())
    parameters = from_motion(model.body, wrong, CPU)
    depths = {}
    for unpaired in (True, False):
        only = torch.tensor([True, unpaired])
        evidence = FloorEvidence(model, tracks, only, None)
        depths[unpaired] = align_to_floor(evidence, parameters, 40, lambda _: None).parameters.log_depth[:, 1]
    assert torch.equal(depths[False], parameters.log_depth[:, 1])
    assert (depths[True] - parameters.log_depth[:, 1]).mean() < -0.1


@pytest.mark.parametrize("physics", [True, False])
@pytest.mark.parametrize(
    ("pairs", "refined", "factors"), [(((0, 1),), (), (1, 1)), (None, (), (3, 3)), (None, (1,), (3, 1))]
)
def test_only_people_in_no_pair_have_a_loose_reference(known_scene, monkeypatch, physics, pairs, refined, factors):
    """Physics does not matter, and the prior also refines people who are too far apart for contact."""
    scene, found = known_scene, []

    def record(self: PoseReference, factor: torch.Tensor) -> PoseReference:
        found.append(tuple(factor.tolist()))
        return self

    monkeypatch.setattr(PoseReference, "scale_std", record)
    config = OptimiseConfig(iterations=1, physics=physics, pairs=pairs)
    optimise(scene.observed, scene.motion, scene.body, config, CPU, NullProgress(), known=KnownPeople(refined=refined))
    assert found == [factors]


def test_the_floor_follows_the_vertical_of_the_camera(known_scene):
    """People who all lean do not tilt the floor where the vertical is known."""
    scene = known_scene
    lean = axis_angle_to_matrix(torch.tensor([0.0, 0.0, 0.25])).numpy()
    rotations = scene.motion.rotations.copy()
    rotations[:, :, 0] = lean @ rotations[:, :, 0]
    leaning = scene.motion.with_pose(rotations=rotations)
    tracks = KeypointTracks.from_observations(scene.observations, scene.clip.times, scene.camera, CPU)
    model = FitModel(load_landmark_body(scene.body), load_pose_prior())
    parameters = from_motion(model.body, leaning, CPU)
    true = torch.tensor(scene.camera.up[0], dtype=torch.float32)
    cosines = []
    for up in (true, None):
        evidence = FloorEvidence(model, tracks, torch.tensor([True, True]), up)
        floor = align_to_floor(evidence, parameters, 0, lambda _: None).ground.floor
        cosines.append(float(floor[:3] @ true))
    assert cosines[0] > max(cosines[1], 0.98)
