"""Random cameras are upright, show all people, and follow from the seed."""

from __future__ import annotations

import numpy as np
import torch
from sample_motion import two_people

from closemesh.body.loading import load_bundled_body
from closemesh.geometry.camera import project
from closemesh.geometry.transforms import transform_points
from closemesh.lab.simulation.scene import (
    FILL_RANGE,
    FOCAL_RANGE,
    HEIGHT_RANGE,
    IMAGE_SIZES,
    make_scene,
    sample_cameras,
    true_points,
)


def paths(scenes: int = 40) -> torch.Tensor:
    """Pelvis paths [B, T, P, 3] of people who walk around."""
    generator = torch.Generator().manual_seed(0)
    steps = 0.05 * torch.randn(scenes, 50, 2, 3, generator=generator)
    start = torch.randn(scenes, 1, 2, 3, generator=generator)
    return (start + steps.cumsum(1)) * torch.tensor([1.0, 0.1, 1.0]) + torch.tensor([0.0, 0.95, 0.0])


def test_every_camera_is_upright_and_shows_the_people():
    pelvis = paths()
    cameras = sample_cameras(pelvis, torch.Generator().manual_seed(1))
    R = cameras.T_cam_world[:, :3, :3]
    assert torch.allclose(R @ R.transpose(-1, -2), torch.eye(3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(R), torch.ones(len(R)), atol=1e-5)
    assert (R[:, 1, 1] < -0.3).all(), "down in the image is down in the world"
    height = torch.linalg.inv(cameras.T_cam_world)[:, 1, 3]
    assert (height > HEIGHT_RANGE[0] - 1e-3).all()
    assert (height < HEIGHT_RANGE[1] + 1e-3).all()
    ratio = cameras.focal / cameras.size.norm(dim=-1)
    assert (ratio > FOCAL_RANGE[0]).all()
    assert (ratio < FOCAL_RANGE[1]).all()
    points = transform_points(cameras.T_cam_world, pelvis.flatten(1, 2))
    pixels = project(points, cameras.focal[:, None, None], cameras.principal_point[:, None])
    inside = ((pixels > 0) & (pixels < cameras.size[:, None])).all(-1) & (points[..., 2] > 0)
    assert inside.float().mean() > 0.99
    assert {tuple(size) for size in cameras.size.int().tolist()} == set(IMAGE_SIZES)


def test_the_distance_follows_from_the_drawn_extent():
    pelvis = torch.tensor([[[[0.0, 0.95, 0.0]]]]).expand(60, 4, 1, 3)
    cameras = sample_cameras(pelvis, torch.Generator().manual_seed(2))
    ends = pelvis[:, 0] + torch.tensor([[0.0, 0.85, 0.0], [0.0, -0.95, 0.0]])
    pixels = project(
        transform_points(cameras.T_cam_world, ends), cameras.focal[:, None, None], cameras.principal_point[:, None]
    )
    tall = (pixels[:, 1, 1] - pixels[:, 0, 1]) / cameras.size[:, 1]
    assert 0.25 < float(tall.min())
    assert float(tall.max()) < FILL_RANGE[1] + 0.03
    assert float(tall.std()) > 0.05


def test_some_cameras_cut_people_and_only_when_asked_to():
    pelvis = paths()
    whole, cut = (sample_cameras(pelvis, torch.Generator().manual_seed(1), cut_fraction=f) for f in (0.0, 1.0))
    assert torch.equal(whole.T_cam_world, sample_cameras(pelvis, torch.Generator().manual_seed(1)).T_cam_world)
    feet = (pelvis - torch.tensor([0.0, 0.9, 0.0])).flatten(1, 2)
    heads = (pelvis + torch.tensor([0.0, 0.7, 0.0])).flatten(1, 2)
    rates = []
    for cameras in (whole, cut):
        for points in (feet, heads):
            seen = transform_points(cameras.T_cam_world, points)
            pixels = project(seen, cameras.focal[:, None, None], cameras.principal_point[:, None])
            rates.append(float(((pixels > 0) & (pixels < cameras.size[:, None])).all(-1).float().mean()))
    assert rates[0] > 0.95 and rates[1] > 0.95
    assert rates[2] < 0.5 < rates[3], "mostly the legs are cut"


def test_absent_people_do_not_change_the_camera():
    pelvis = paths(8)
    valid = torch.ones(pelvis.shape[:3], dtype=torch.bool)
    valid[:, :, 1] = False
    alone = sample_cameras(pelvis[:, :, :1], torch.Generator().manual_seed(3))
    moved = pelvis.clone()
    moved[:, :, 1] += 100
    among = sample_cameras(moved, torch.Generator().manual_seed(3), valid)
    assert torch.allclose(alone.T_cam_world, among.T_cam_world, atol=1e-4)


def test_the_same_seed_gives_the_same_scene_and_people_stand_on_the_floor():
    body = load_bundled_body("light")
    one, same, other = (make_scene(two_people(), body, seed) for seed in (5, 5, 6))
    assert np.array_equal(one.motion.transl, same.motion.transl)
    assert one.camera.focal == same.camera.focal
    assert one.camera.focal != other.camera.focal
    assert one.kind == "waving"
    points = transform_points(
        torch.as_tensor(np.linalg.inv(one.camera.T_cam_world))[:, None],
        torch.as_tensor(true_points(one).points_cam).double(),
    )
    assert abs(float(points[..., 1].amin()) - 0.02) < 5e-3
    betas = np.full((2, 10), 0.5, np.float32)
    assert np.array_equal(make_scene(two_people(), body, 5, betas).motion.betas, betas)
