import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from closemesh.geometry.rotations import (
    axis_angle_to_matrix,
    geodesic_angle,
    hat,
    matrix_to_6d,
    matrix_to_axis_angle,
    matrix_to_quaternion,
    quaternion_to_matrix,
    rotation_6d_to_matrix,
    vee,
)

TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-13}
DTYPES = pytest.mark.parametrize("dtype", list(TOLERANCE))
# From nothing, past the switch to the series at 1e-4, to just short of pi.
ANGLES = (0.0, 1e-12, 1e-8, 9e-5, 1.1e-4, 1e-3, 0.1, 1.0, 2.0, 3.0, math.pi - 1e-3, math.pi - 1e-6)


def axes(count, dtype):
    vectors = torch.randn(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    basis = torch.eye(3, dtype=torch.float64)
    return torch.nn.functional.normalize(torch.cat([vectors, basis, -basis]), dim=-1).to(dtype)


def random_rotations(count, dtype=torch.float64):
    return torch.as_tensor(Rotation.random(count, random_state=0).as_matrix()).to(dtype)


@DTYPES
@pytest.mark.parametrize("angle", ANGLES)
def test_matrix_is_a_rotation_and_equals_scipy(dtype, angle):
    vectors = angle * axes(50, dtype)
    R = axis_angle_to_matrix(vectors)
    assert R.dtype == dtype
    identity = torch.eye(3, dtype=dtype).expand_as(R)
    torch.testing.assert_close(R @ R.mT, identity, atol=TOLERANCE[dtype], rtol=0)
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(len(R), dtype=dtype), atol=TOLERANCE[dtype], rtol=0)
    expected = torch.as_tensor(Rotation.from_rotvec(vectors.double().numpy()).as_matrix()).to(dtype)
    torch.testing.assert_close(R, expected, atol=TOLERANCE[dtype], rtol=0)


@DTYPES
@pytest.mark.parametrize("angle", ANGLES)
def test_axis_angle_comes_back(dtype, angle):
    vectors = angle * axes(50, dtype)
    back = matrix_to_axis_angle(axis_angle_to_matrix(vectors))
    torch.testing.assert_close(back, vectors, atol=10 * TOLERANCE[dtype], rtol=0)


@DTYPES
def test_half_turn_comes_back_up_to_its_sign(dtype):
    vectors = math.pi * axes(50, dtype)
    back = matrix_to_axis_angle(axis_angle_to_matrix(vectors))
    either = torch.minimum((back - vectors).norm(dim=-1), (back + vectors).norm(dim=-1))
    assert either.max() < 10 * TOLERANCE[dtype] and torch.isfinite(back).all()


def test_angle_beyond_pi_comes_back_the_short_way():
    axis = axes(10, torch.float64)
    back = matrix_to_axis_angle(axis_angle_to_matrix(4.0 * axis))
    torch.testing.assert_close(back, (4.0 - 2 * math.pi) * axis)


def test_quaternions_of_any_length_are_rotations():
    quaternion = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    R = quaternion_to_matrix(quaternion)
    torch.testing.assert_close(R, quaternion_to_matrix(-3 * quaternion))
    scipy_order = quaternion[:, [1, 2, 3, 0]].numpy()
    np.testing.assert_allclose(R.numpy(), Rotation.from_quat(scipy_order).as_matrix(), atol=1e-12)
    unit = matrix_to_quaternion(R)
    torch.testing.assert_close(quaternion_to_matrix(unit), R)


@DTYPES
def test_quaternion_is_unit_has_positive_real_part_and_equals_scipy(dtype):
    R = random_rotations(500, dtype)
    quaternion = matrix_to_quaternion(R)
    torch.testing.assert_close(quaternion.norm(dim=-1), torch.ones(500, dtype=dtype))
    assert (quaternion[:, 0] >= 0).all()
    expected = Rotation.from_matrix(R.double().numpy()).as_quat(canonical=True)[:, [3, 0, 1, 2]]
    np.testing.assert_allclose(quaternion.numpy(), expected, atol=5 * TOLERANCE[dtype])


@pytest.mark.parametrize("angle", [0.0, 1e-7, 1e-5, 1e-4, 1.0, math.pi - 1e-4, math.pi])
def test_gradients_are_finite_everywhere(angle):
    for dtype in TOLERANCE:
        vectors = (angle * axes(20, dtype)).requires_grad_()
        R = axis_angle_to_matrix(vectors)
        R.square().sum().backward(retain_graph=True)
        (matrix_to_axis_angle(R) * torch.arange(3, dtype=dtype)).sum().backward()
        assert torch.isfinite(vectors.grad).all(), (angle, dtype)


@pytest.mark.parametrize("angle", [0.0, 5e-5, 9.9e-5, 1.01e-4, 0.5, 2.9])
def test_gradients_equal_finite_differences(angle):
    vectors = (angle * axes(4, torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(axis_angle_to_matrix, vectors, eps=1e-7, atol=1e-6)
    if 0 < angle:
        assert torch.autograd.gradcheck(
            lambda v: matrix_to_axis_angle(axis_angle_to_matrix(v)), vectors, eps=1e-7, atol=1e-5
        )


@DTYPES
def test_6d_round_trip_and_orthogonalisation(dtype):
    R = random_rotations(200, dtype)
    torch.testing.assert_close(rotation_6d_to_matrix(matrix_to_6d(R)), R, atol=TOLERANCE[dtype], rtol=0)
    anything = torch.randn(200, 6, generator=torch.Generator().manual_seed(1), dtype=dtype)
    made = rotation_6d_to_matrix(anything)
    identity = torch.eye(3, dtype=dtype).expand_as(made)
    torch.testing.assert_close(made @ made.mT, identity, atol=5 * TOLERANCE[dtype], rtol=0)
    assert (torch.linalg.det(made) > 0.99).all()
    scaled = rotation_6d_to_matrix(anything * 3.0)
    torch.testing.assert_close(scaled, made, atol=5 * TOLERANCE[dtype], rtol=0)


def test_6d_gradient_equals_finite_differences():
    anything = torch.randn(5, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rotation_6d_to_matrix, anything)


def test_geodesic_angle_is_a_metric_that_rotations_leave_alone():
    a, b, c = random_rotations(300).reshape(3, 100, 3, 3)
    angle = geodesic_angle(a, b)
    torch.testing.assert_close(angle, geodesic_angle(b, a))
    torch.testing.assert_close(angle, geodesic_angle(c @ a, c @ b))
    assert (angle <= geodesic_angle(a, c) + geodesic_angle(c, b) + 1e-12).all()
    torch.testing.assert_close(geodesic_angle(a, a), torch.zeros(100, dtype=torch.float64), atol=1e-7, rtol=0)


@pytest.mark.parametrize("angle", [1e-9, 1e-4, 1.0, 3.0, math.pi])
def test_geodesic_angle_is_exact_from_tiny_to_half_turn(angle):
    R = axis_angle_to_matrix(angle * axes(10, torch.float64))
    expected = torch.full((len(R),), angle, dtype=torch.float64)
    torch.testing.assert_close(geodesic_angle(torch.eye(3, dtype=torch.float64), R), expected, atol=1e-12, rtol=1e-6)


def test_skew_is_the_cross_product_and_comes_back():
    a, b = torch.randn(2, 20, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    torch.testing.assert_close((hat(a) @ b[..., None])[..., 0], torch.linalg.cross(a, b))
    torch.testing.assert_close(vee(hat(a)), a)


def test_leading_dimensions_are_free():
    vectors = torch.randn(2, 3, 4, 3, generator=torch.Generator().manual_seed(4))
    R = axis_angle_to_matrix(vectors)
    assert R.shape == (2, 3, 4, 3, 3)
    assert matrix_to_axis_angle(R).shape == vectors.shape
    assert matrix_to_6d(R).shape == (2, 3, 4, 6)
    torch.testing.assert_close(axis_angle_to_matrix(vectors[1, 2, 3]), R[1, 2, 3])
