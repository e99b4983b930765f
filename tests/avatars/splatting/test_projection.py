"""3D Gaussians project to the right pixels, with the right gradients."""

from __future__ import annotations

import math

import pytest
import torch
from random_gaussians import relative_error
from torch import Tensor

from closemesh.avatars.splatting.projection import Projection, project_gaussians
from closemesh.avatars.splatting.rasterize import BLUR, rasterize
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_quaternion

FOCAL, CENTER, SIZE = 300.0, (130.0, 120.0), (240, 256)


def _cloud(count: int = 500, as_matrices: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """float64; in the image, outside of it and behind the camera."""
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(count, 3, generator=generator) * torch.tensor([0.7, 0.7, 1.0]) + torch.tensor([0, 0, 1.5])
    rotations = torch.randn(count, 4, generator=generator)
    if as_matrices:
        rotations = axis_angle_to_matrix(rotations[:, :3])
    scales = 0.002 + 0.03 * torch.rand(count, 3, generator=generator)
    return means.double(), rotations.double(), scales.double()


def _project(inputs: tuple[Tensor, ...], backend: str) -> Projection:
    return project_gaussians(*inputs, FOCAL, CENTER, SIZE, backend=backend)  # type: ignore[call-arg]


def _differentiated(inputs: tuple[Tensor, ...], backend: str, dtype: torch.dtype) -> tuple[Projection, list[Tensor]]:
    inputs = tuple(tensor.to(dtype, copy=True).requires_grad_() for tensor in inputs)
    projection = _project(inputs, backend)
    generator = torch.Generator().manual_seed(1)
    loss = sum((out * torch.randn(out.shape, generator=generator)).sum() for out in projection[:3])
    return projection, [gradient.double() for gradient in torch.autograd.grad(loss, inputs)]


@pytest.mark.parametrize("as_matrices", [False, True])
def test_numba_agrees_with_the_reference(as_matrices: bool) -> None:
    inputs = _cloud(as_matrices=as_matrices)
    expected, expected_gradients = _differentiated(inputs, "reference", torch.float64)
    found, gradients = _differentiated(inputs, "numba", torch.float32)
    assert torch.equal(found.visible, expected.visible)
    assert 0.2 < expected.visible.double().mean() < 0.9
    pairs = zip([*found[:3], *gradients], [*expected[:3], *expected_gradients], strict=True)
    assert max(relative_error(one.double(), other) for one, other in pairs) < 1e-5


@pytest.mark.parametrize("as_matrices", [False, True])
def test_gradients_of_the_reference_are_those_of_finite_differences(as_matrices: bool) -> None:
    inputs = tuple(tensor[:12].requires_grad_() for tensor in _cloud(as_matrices=as_matrices))
    assert torch.autograd.gradcheck(lambda *three: _project(three, "reference")[:3], inputs, eps=1e-7, rtol=1e-5)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_a_ball_in_front_of_the_camera(backend: str) -> None:
    means, scales = torch.tensor([[0.0, 0.0, 2.0]]), torch.full((1, 3), 0.02)
    projection = _project((means, torch.tensor([[1.0, 0, 0, 0]]), scales), backend)
    assert projection.means2d[0].tolist() == pytest.approx(CENTER)
    assert projection.depths.tolist() == [2.0]
    variance = (0.02 * FOCAL / 2) ** 2 + BLUR
    assert projection.conics[0].tolist() == pytest.approx([1 / variance, 0.0, 1 / variance], rel=1e-5)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_a_needle_turned_in_the_image(backend: str) -> None:
    rotation = axis_angle_to_matrix(torch.tensor([[0.0, 0.0, math.pi / 4]]))
    means, scales = torch.tensor([[0.1, 0.2, 2.0]]), torch.tensor([[0.1, 0.001, 0.001]])
    by_matrix, by_quaternion = (
        _project((means, rotations, scales), backend) for rotations in (rotation, 3 * matrix_to_quaternion(rotation))
    )
    assert torch.allclose(by_matrix.conics, by_quaternion.conics, atol=1e-5)
    a, b, c = by_matrix.conics[0].tolist()
    assert a == pytest.approx(c, rel=0.02)
    assert b < -0.9 * a  # Along the diagonal from the upper left to the lower right it is long.


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_gaussians_behind_the_camera_or_outside_of_the_image_are_not_drawn(backend: str) -> None:
    means = torch.tensor([[0.0, 0, -1], [0, 0, 0.04], [0, 0, 0], [3, 0, 2], [0, -3, 2]]).requires_grad_()
    rotations, scales = torch.tensor([[1.0, 0, 0, 0]]).repeat(5, 1), torch.full((5, 3), 0.02)
    projection = _project((means, rotations, scales), backend)
    assert not projection.visible.any()
    image, alpha = rasterize(
        projection.means2d, projection.conics, torch.ones(5), torch.ones(5, 1), projection.depths, SIZE
    )
    assert not alpha.any()
    (image.sum() + alpha.sum()).backward()
    assert means.grad is not None
    assert not means.grad.any()


def test_no_gaussians_at_all() -> None:
    projection = _project((torch.empty(0, 3), torch.empty(0, 4), torch.empty(0, 3)), "numba")
    assert [len(tensor) for tensor in projection] == [0, 0, 0, 0]
