"""Hidden keypoints in known scenes, and the batched approximation against the exact method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sample_motion import front_view, two_people

from closemesh.body.capsules import capsule_body
from closemesh.body.loading import load_bundled_body
from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.lab.simulation.occlusion import hidden_by_capsules, hidden_points
from closemesh.lab.simulation.scene import SimulatedScene, make_scene, true_points
from closemesh.rendering.zbuffer import render_depth

FACE = [KEYPOINT_INDEX[name] for name in ("nose", "left_eye", "right_eye")]
TRUNK = [KEYPOINT_INDEX[f"{side}_{name}"] for side in ("left", "right") for name in ("shoulder", "hip")]


def by_capsules(scene: SimulatedScene) -> np.ndarray:
    camera = scene.camera
    numbers = (
        torch.tensor(value, dtype=torch.float32) for value in (camera.focal, camera.principal_point, camera.size)
    )
    points = torch.as_tensor(true_points(scene).points_cam)
    valid = torch.as_tensor(scene.motion.valid)
    return hidden_by_capsules(points, capsule_body(scene.body), *numbers, valid).numpy()


@pytest.mark.parametrize("hidden_in", [hidden_points, by_capsules])
def test_a_single_person_shows_the_face_from_the_front_and_not_from_behind(hidden_in):
    sequence = two_people(frames=2).people([0])
    front, behind = (hidden_in(front_view(sequence, behind=side)) for side in (False, True))
    assert not front[:, 0, FACE + TRUNK].any()
    assert behind[:, 0, FACE].all()
    assert not behind[:, 0, TRUNK].any(), "ears lie before the ears of the surface, where detectors place them"


@pytest.mark.parametrize("hidden_in", [hidden_points, by_capsules])
def test_a_partner_in_front_hides_and_an_absent_one_does_not(hidden_in):
    scene = front_view(two_people(frames=2, offset=(0, 0, 0.6)))
    assert hidden_in(scene)[:, 0, FACE + TRUNK].all()
    assert not hidden_in(scene)[:, 1, FACE + TRUNK].any()
    valid = scene.motion.valid & (True, False)
    alone = replace(scene, motion=replace(scene.motion, valid=valid))
    assert not hidden_in(alone)[:, 0, FACE + TRUNK].any()
    assert hidden_in(alone)[:, 1].all()


@pytest.mark.parametrize("hidden_in", [hidden_points, by_capsules])
def test_keypoints_outside_the_image_are_hidden(hidden_in):
    scene = front_view(two_people(frames=2), distance=1.5)
    pixels = true_points(scene).pixels
    outside = ((pixels < 0) | (pixels >= scene.camera.size)).any(-1)
    assert outside.any()
    assert hidden_in(scene)[outside].all()


def test_capsules_agree_with_meshes():
    body = load_bundled_body("light")
    exact, fast = [], []
    for seed in range(8):
        scene = make_scene(two_people(frames=6, offset=(0.25, 0, 0.3)), body, seed)
        exact.append(hidden_points(scene))
        fast.append(by_capsules(scene))
    assert np.mean(np.array(exact) == np.array(fast)) > 0.88
    assert 0.15 < np.mean(exact) < 0.7, "both results occur"


def test_a_batch_gives_the_same_as_single_scenes():
    body = capsule_body(load_bundled_body("light"))
    scenes = [make_scene(two_people(frames=3), load_bundled_body("light"), seed) for seed in range(3)]
    points = torch.stack([torch.as_tensor(true_points(scene).points_cam) for scene in scenes])
    focal = torch.tensor([scene.camera.focal for scene in scenes])
    principal_point, size = (
        torch.tensor([getattr(s.camera, name) for s in scenes]) for name in ("principal_point", "size")
    )
    together = hidden_by_capsules(points, body, focal, principal_point, size).numpy()
    assert np.array_equal(together, np.stack([by_capsules(scene) for scene in scenes]))


def test_depth_of_a_slanted_triangle():
    corners = np.array([[-1.0, -1.0, 2.0], [-1.0, 1.0, 4.0], [1.0, -1.0, 2.0]])
    depth = render_depth(corners, np.array([[0, 1, 2]]), 40.0, (20.0, 20.0), (40, 40))
    assert np.isinf(depth[39, 39])
    row, column = 10, 12
    x, y = (column + 0.5 - 20) / 40, (row + 0.5 - 20) / 40
    # The triangle lies in the plane z = 3 + y.
    assert depth[row, column] == pytest.approx(3 / (1 - y), rel=1e-4)
    assert np.isfinite(depth).any() and x < 0
