import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from closemesh.geometry.transforms import invert_transform, make_transform, transform_points, upright_axes


def random_rigid(*shape):
    count = int(torch.tensor(shape).prod())
    R = torch.as_tensor(Rotation.random(count, random_state=1).as_matrix()).reshape(*shape, 3, 3)
    return make_transform(R, torch.randn(*shape, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64))


def points(*shape):
    return torch.randn(*shape, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_rigid_places_rotation_and_translation():
    T = random_rigid(5)
    assert torch.equal(T[:, 3], torch.tensor([0.0, 0, 0, 1], dtype=torch.float64).expand(5, 4))
    p = points(5, 1)
    expected = (T[:, :3, :3] @ p[:, 0, :, None])[..., 0] + T[:, :3, 3]
    torch.testing.assert_close(transform_points(T, p)[:, 0], expected)


def test_inverse_undoes_on_both_sides():
    T = random_rigid(4, 6)
    identity = torch.eye(4, dtype=torch.float64).expand_as(T)
    torch.testing.assert_close(T @ invert_transform(T), identity)
    torch.testing.assert_close(invert_transform(T) @ T, identity)
    torch.testing.assert_close(invert_transform(T), torch.linalg.inv(T))


def test_chaining_transforms_is_multiplying_them():
    T_a_b, T_b_c = random_rigid(7), random_rigid(14)[7:]
    p = points(7, 10)
    torch.testing.assert_close(transform_points(T_a_b @ T_b_c, p), transform_points(T_a_b, transform_points(T_b_c, p)))


def test_one_transform_serves_many_batches_and_distances_stay():
    T, p = random_rigid(1)[0], points(3, 8)
    moved = transform_points(T, p)
    assert moved.shape == p.shape
    torch.testing.assert_close(torch.cdist(moved, moved), torch.cdist(p, p))


def test_gradients_equal_finite_differences():
    T, p = random_rigid(2).requires_grad_(), points(2, 3).requires_grad_()
    assert torch.autograd.gradcheck(transform_points, (T, p))
    assert torch.autograd.gradcheck(invert_transform, T)


@pytest.mark.parametrize("up", [(0.0, -1.0, 0.0), (0.0, -0.8, -0.6), (0.0, 0.0, -1.0), (0.6, -0.8, 0.0)])
def test_upright_axes_are_a_rotation_with_the_vertical_as_y(up):
    up = np.array(up)
    R = upright_axes(up, np.array([0.0, 0.0, -1.0]))
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(R) == pytest.approx(1)
    np.testing.assert_allclose(R[:, 1], up)
