"""The optimizer finds a minimum and changes nothing else."""

from __future__ import annotations

import torch

from closemesh.body.loading import load_landmark_body
from closemesh.fitting.objective import from_motion
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
