import cv2
import numpy as np
import pytest
import torch

from closemesh.geometry.camera import default_focal, project

FOCAL, CENTER = 900.0, (640.0, 360.0)


def points(count):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, generator=generator, dtype=torch.float64) + torch.tensor([0.0, 0, 6])


def test_projection_equals_opencv():
    p = points(200)
    K = np.array([[FOCAL, 0, CENTER[0]], [0, FOCAL, CENTER[1]], [0, 0, 1]])
    expected, _ = cv2.projectPoints(p.numpy(), np.zeros(3), np.zeros(3), K, np.zeros(4))
    np.testing.assert_allclose(project(p, FOCAL, CENTER).numpy(), expected[:, 0])


def test_axis_points_right_down_and_forward():
    on_axis, right, down = project(torch.tensor([[0.0, 0, 2], [1, 0, 2], [0, 1, 2]]), FOCAL, CENTER)
    assert on_axis.tolist() == list(CENTER)
    assert right[0] > on_axis[0] and down[1] > on_axis[1]


def test_scaling_a_ray_changes_nothing():
    p = points(50)
    torch.testing.assert_close(project(3 * p, FOCAL, CENTER), project(p, FOCAL, CENTER))


@pytest.mark.parametrize("depth", [0.0, -3.0, 1e-9])
def test_points_at_or_behind_the_camera_stay_finite(depth):
    p = torch.tensor([[0.3, -0.2, depth]], requires_grad=True)
    pixels = project(p, FOCAL, CENTER)
    pixels.sum().backward()
    assert torch.isfinite(pixels).all() and torch.isfinite(p.grad).all()


def test_gradient_in_points_and_focal():
    p, focal = points(5).requires_grad_(), torch.tensor(FOCAL, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda q, f: project(q, f, CENTER), (p, focal), atol=1e-4)


def test_an_unknown_camera_is_a_usual_one():
    assert default_focal((1600, 1200)) == default_focal((1200, 1600)) == 1480
    assert 24 < default_focal((36, 24)) < 35, "millimeters for a full frame: between phones and small cameras"
