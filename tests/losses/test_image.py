"""Terms of drawn pictures and of Gaussians."""

from __future__ import annotations

import pytest
import torch

from closemesh.avatars.fit import offset_penalty, scale_penalty
from closemesh.losses.image import _blur_torch, blurred, dssim, l1


def _noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_images_are_like_themselves_and_unlike_others() -> None:
    a, b = _noise(0, 30, 40, 3), _noise(1, 30, 40, 3)
    assert float(dssim(a, a).abs().max()) < 1e-9
    assert float(l1(a, a).max()) == 0
    assert 0.7 < float(dssim(a, b).mean()) < 1.3
    assert 0 < float(dssim(a, 0.9 * a).mean()) < 0.1


def test_structural_similarity_of_one_window_is_that_of_the_definition() -> None:
    a, b = _noise(0, 25, 25, 1), _noise(1, 25, 25, 1)
    at = torch.arange(11, dtype=torch.float64) - 5
    weights = torch.exp(-(at[:, None] ** 2 + at**2) / (2 * 1.5**2))
    weights = weights / weights.sum()
    x, y = a[7:18, 7:18, 0], b[7:18, 7:18, 0]
    mx, my = (weights * x).sum(), (weights * y).sum()
    vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
    vxy = (weights * (x - mx) * (y - my)).sum()
    c1, c2 = 0.01**2, 0.03**2
    expected = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert float(1 - dssim(a, b)[12, 12, 0]) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_both_blurs_agree(channels: int) -> None:
    image = _noise(0, 20, 31, channels)
    assert torch.allclose(blurred(image), _blur_torch(image), atol=1e-12)


def test_the_gradient_is_that_of_finite_differences() -> None:
    seen = _noise(1, 9, 13, 2)
    assert torch.autograd.gradcheck(lambda x: dssim(x, seen), (_noise(0, 9, 13, 2).requires_grad_(),))


def test_gaussians_at_rest_cost_nothing() -> None:
    fresh = torch.tensor([[0.01, 0.02, 0.003]])
    assert float(scale_penalty(fresh, fresh)) == 0
    assert float(scale_penalty(2 * fresh, fresh)) == pytest.approx(float(scale_penalty(fresh / 2, fresh)))
    assert offset_penalty(torch.tensor([[0.03, 0.0, 0.04]])).tolist() == pytest.approx([0.0025])
