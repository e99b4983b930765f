"""The minimiser, and the way from variables to the record and back."""

from __future__ import annotations

import numpy as np
import torch

from closemesh.body.loading import load_landmark_body
from closemesh.fitting.keypoint_tracks import make_evidence
from closemesh.fitting.objective import from_motion, pose_confidence, to_motion
from closemesh.fitting.optimizer import minimize


def test_finds_the_minimum_and_leaves_the_rest_alone(known_scene):
    start = from_motion(load_landmark_body(known_scene.body), known_scene.motion, "cpu")
    goal = torch.full_like(start.log_depth, 1.5)
    steps: list[int] = []
    found = minimize(
        start,
        lambda v, step: (v.log_depth - goal).square().sum() + v.pelvis_ray.square().sum(),
        iterations=200,
        learning_rate=0.1,
        free=("log_depth",),
        advance=steps.append,
    )
    assert torch.allclose(found.log_depth, goal, atol=1e-2)
    assert torch.equal(found.pelvis_ray, start.pelvis_ray) and not found.log_depth.requires_grad
    assert sum(steps) == 200


def test_motion_to_variables_and_back(known_scene):
    scene = known_scene
    variables = from_motion(load_landmark_body(scene.body), scene.motion, "cpu")
    evidence = make_evidence(scene.observations, scene.clip.times, scene.camera, "cpu")
    again = to_motion(scene.body, load_landmark_body(scene.body), variables, evidence)
    assert np.abs(again.transl - scene.motion.transl).max() < 1e-5
    assert np.abs(again.rotations - scene.motion.rotations).max() < 1e-5
    assert again.valid.all() and (again.confidence == 1).all()


def test_confidence_falls_when_the_body_misses_its_keypoints(known_scene):
    scene = known_scene
    variables = from_motion(load_landmark_body(scene.body), scene.motion, "cpu")
    evidence = make_evidence(scene.observations, scene.clip.times, scene.camera, "cpu")
    away = variables.with_tensors(pelvis_ray=variables.pelvis_ray + 0.3)
    assert (pose_confidence(load_landmark_body(scene.body), variables, evidence) == 1).all()
    assert (pose_confidence(load_landmark_body(scene.body), away, evidence) == 0).all()
