"""Rasterized Gaussians have the expected pixels, and their gradients match finite differences."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from random_gaussians import Gaussians, random_gaussians, relative_error, render_and_differentiate

from closemesh.avatars.splatting.rasterize import MAX_ALPHA, MIN_ALPHA, Backend, rasterize
from closemesh.core.errors import InputError

BOTH: tuple[Backend, ...] = ("reference", "numba")
NAMES = ("means2d", "conics", "opacities", "features")


def _without_cuts(count: int = 6) -> tuple[Gaussians, tuple[int, int]]:
    """So wide and transparent that no pixel is near a cutoff, where there is no derivative."""
    size = (7, 9)
    made = random_gaussians(count, size, channels=3)
    conics = torch.tensor([0.02, 0.004, 0.03], dtype=torch.float64) * (1 + 0.1 * made.conics)
    return made._replace(conics=conics, opacities=0.3 + 0.3 * made.opacities), size


@pytest.mark.parametrize("index", range(4), ids=NAMES)
def test_gradients_of_the_reference_are_those_of_finite_differences(index: int) -> None:
    gaussians, size = _without_cuts()
    generator = torch.Generator().manual_seed(2)
    weights = torch.randn(*size, 4, generator=generator, dtype=torch.float64)
    direction = torch.randn(gaussians[index].shape, generator=generator, dtype=torch.float64)

    def loss(step: float, start: torch.Tensor) -> torch.Tensor:
        inputs = [*gaussians[:index], start + step * direction, *gaussians[index + 1 : 4]]
        image, alpha = rasterize(*inputs, gaussians.depths, size, backend="reference")
        return (torch.cat([image, alpha[..., None]], dim=-1) * weights).sum()

    start = gaussians[index].clone().requires_grad_()
    loss(0.0, start).backward()
    assert start.grad is not None
    h, x = 2e-4, gaussians[index]
    fourth_order = (8 * (loss(h, x) - loss(-h, x)) - (loss(2 * h, x) - loss(-2 * h, x))) / (12 * h)
    assert float((start.grad * direction).sum()) == pytest.approx(float(fourth_order), rel=2e-9)


def test_every_single_gradient_of_the_reference() -> None:
    gaussians, size = _without_cuts(3)
    inputs = tuple(tensor.requires_grad_() for tensor in gaussians[:4])
    assert torch.autograd.gradcheck(
        lambda *four: rasterize(*four, gaussians.depths, size, backend="reference"), inputs, atol=1e-8, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("count", "size", "channels"),
    [(300, (64, 64), 8), (900, (80, 97), 3), (900, (33, 130), 11), (60, (5, 3), 1), (400, (70, 70), 20)],
)
def test_numba_agrees_with_the_reference(count: int, size: tuple[int, int], channels: int) -> None:
    gaussians = random_gaussians(count, size, channels)
    expected = render_and_differentiate(gaussians, size, "reference", torch.float64)
    found = render_and_differentiate(gaussians, size, "numba", torch.float32)
    for name, one, other in zip(("image", "alpha", *NAMES), found, expected, strict=True):
        assert one.shape == other.shape
        assert relative_error(one, other) < 1e-4, name


def test_numba_agrees_on_opaque_gaussians() -> None:
    made = random_gaussians(500, (48, 40), channels=4, largest=12.0)
    gaussians = made._replace(opacities=torch.where(made.opacities > 0.6, 1.0, made.opacities))
    expected = render_and_differentiate(gaussians, (48, 40), "reference", torch.float64)
    found = render_and_differentiate(gaussians, (48, 40), "numba", torch.float32)
    assert expected[1].median() > 0.9998
    for name, one, other in zip(("image", "alpha", *NAMES), found, expected, strict=True):
        assert relative_error(one, other) < 1e-4, name


def _single(x: float, y: float, opacity: float, depth: float, color: tuple[float, float, float]) -> Gaussians:
    """A round Gaussian with a standard deviation of 2 pixels."""
    made = ([[x, y]], [[0.25, 0.0, 0.25]], [opacity], [color], [depth])
    return Gaussians(*(torch.tensor(numbers, dtype=torch.float32) for numbers in made))


@pytest.mark.parametrize("backend", BOTH)
def test_one_gaussian_in_the_middle(backend: Backend) -> None:
    gaussian = _single(10.5, 6.5, 0.8, 2.0, (1.0, 0.5, 0.0))
    image, alpha = rasterize(*gaussian, size=(13, 21), backend=backend)
    for x, y in ((10, 6), (12, 6), (10, 3), (13, 8)):
        expected = 0.8 * math.exp(-((x - 10) ** 2 + (y - 6) ** 2) / 8)
        assert float(alpha[y, x]) == pytest.approx(expected, rel=1e-5)
        assert image[y, x].tolist() == pytest.approx([expected, 0.5 * expected, 0.0], rel=1e-5)
    # Below the minimum alpha it is skipped.
    radius = math.sqrt(-8 * math.log(MIN_ALPHA / 0.8))
    row = alpha[6] > 0
    assert row.tolist() == [abs(x - 10) <= radius for x in range(21)]


@pytest.mark.parametrize("backend", BOTH)
@pytest.mark.parametrize("red_depth", [1.0, 3.0])
def test_nearer_gaussians_occlude_farther_ones(backend: Backend, red_depth: float) -> None:
    red, blue = _single(8.5, 8.5, 1.0, red_depth, (1, 0, 0)), _single(9.5, 8.5, 1.0, 2.0, (0, 0, 1))
    both = (torch.cat(pair) for pair in zip(red, blue, strict=True))
    image, alpha = rasterize(*both, size=(17, 17), backend=backend)
    near, far = (0, 2) if red_depth < 2 else (2, 0)
    middle = image[8, 8 if red_depth < 2 else 9]
    assert float(middle[near]) == pytest.approx(MAX_ALPHA, rel=1e-5)
    behind = math.exp(-1 / 8)
    assert float(middle[far]) == pytest.approx((1 - MAX_ALPHA) * behind, rel=1e-3)
    assert torch.allclose(image.sum(-1), alpha, atol=1e-6)


@pytest.mark.parametrize("backend", BOTH)
def test_equal_depths_keep_the_order_given(backend: Backend) -> None:
    many = [_single(8.5, 8.5, 0.5, 2.0, (float(k == 0), float(k == 1), float(k == 2))) for k in range(3)]
    image, _ = rasterize(*(torch.cat(parts) for parts in zip(*many, strict=True)), size=(17, 17), backend=backend)
    assert image[8, 8].tolist() == pytest.approx([0.5, 0.25, 0.125], rel=1e-5)


@pytest.mark.parametrize("backend", BOTH)
def test_invisible_gaussians_draw_nothing(backend: Backend) -> None:
    for gaussians in (random_gaussians(0, (20, 30), 3), _off_screen(), _no_ellipses()):
        image, alpha, *gradients = render_and_differentiate(gaussians, (20, 30), backend, torch.float32)
        assert image.shape == (20, 30, 3)
        assert not image.any()
        assert not alpha.any()
        assert not any(gradient.any() for gradient in gradients)


def _off_screen() -> Gaussians:
    made = random_gaussians(40, (20, 30), 3)
    return made._replace(means2d=made.means2d - 100)


def _no_ellipses() -> Gaussians:
    made = random_gaussians(40, (20, 30), 3)
    return made._replace(conics=made.conics * torch.tensor([1.0, 0.0, 0.0]))


def test_nan_is_not_drawn() -> None:
    whole = random_gaussians(50, (40, 40), 3)
    broken = whole._replace(means2d=whole.means2d.clone(), conics=whole.conics.clone())
    broken.means2d[0], broken.conics[1], broken.means2d[2, 0] = math.nan, math.inf, 1e30
    image, _ = rasterize(*broken, size=(40, 40))
    others, _ = rasterize(*(tensor[3:] for tensor in whole), size=(40, 40))
    assert torch.equal(image, others)


def test_the_same_bits_every_time() -> None:
    gaussians = random_gaussians(2000, (96, 96), 8)
    first, second = (render_and_differentiate(gaussians, (96, 96), "numba", torch.float32) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_concurrent_calls_give_the_same_results() -> None:
    scenes = [random_gaussians(1500, (96, 80), 8, seed=seed) for seed in range(3)]
    single = [render_and_differentiate(scene, (96, 80), "numba", torch.float32) for scene in scenes]
    with ThreadPoolExecutor(3) as pool:
        for _ in range(4):
            at_once = pool.map(lambda scene: render_and_differentiate(scene, (96, 80), "numba", torch.float32), scenes)
            for found, expected in zip(at_once, single, strict=True):
                assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_threads_of_torch_change_nothing() -> None:
    gaussians = random_gaussians(800, (70, 90), 4)
    before = torch.get_num_threads()
    results = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        results.append(render_and_differentiate(gaussians, (70, 90), "numba", torch.float32))
    torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_wrong_arguments_are_errors() -> None:
    gaussians = random_gaussians(5, (8, 8), 3)
    with pytest.raises(ValueError, match="same length"):
        rasterize(*gaussians._replace(opacities=gaussians.opacities[:4]), size=(8, 8))
    with pytest.raises(InputError, match="gsplat"):
        rasterize(*gaussians, size=(8, 8), backend="gsplat")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="takes a GPU")
@pytest.mark.parametrize("channels", [3, 11])
def test_gsplat_agrees_with_numba(channels: int) -> None:
    pytest.importorskip("gsplat")
    gaussians = random_gaussians(900, (80, 97), channels)
    expected = render_and_differentiate(gaussians, (80, 97), "numba", torch.float32)
    found = render_and_differentiate(gaussians, (80, 97), "gsplat", torch.float32, device="cuda")
    for name, one, other in zip(("image", "alpha", *NAMES), found, expected, strict=True):
        assert relative_error(one, other) < 1e-3, name
