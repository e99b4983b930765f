"""From parameters to the record of a motion and back, and its confidence."""

from __future__ import annotations

import numpy as np

from closemesh.body.loading import load_landmark_body
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.fitting.objective import from_motion, pose_confidence, to_motion


def test_motion_to_variables_and_back(known_scene):
    scene = known_scene
    parameters = from_motion(load_landmark_body(scene.body), scene.motion, "cpu")
    tracks = KeypointTracks.from_observations(scene.observations, scene.clip.times, scene.camera, "cpu")
    again = to_motion(scene.body, load_landmark_body(scene.body), parameters, tracks)
    assert np.abs(again.transl - scene.motion.transl).max() < 1e-5
    assert np.abs(again.rotations - scene.motion.rotations).max() < 1e-5
    assert again.valid.all() and (again.confidence == 1).all()


def test_confidence_falls_when_the_body_misses_its_keypoints(known_scene):
    scene = known_scene
    parameters = from_motion(load_landmark_body(scene.body), scene.motion, "cpu")
    tracks = KeypointTracks.from_observations(scene.observations, scene.clip.times, scene.camera, "cpu")
    away = parameters.with_tensors(pelvis_ray=parameters.pelvis_ray + 0.3)
    assert (pose_confidence(load_landmark_body(scene.body), parameters, tracks) == 1).all()
    assert (pose_confidence(load_landmark_body(scene.body), away, tracks) == 0).all()
