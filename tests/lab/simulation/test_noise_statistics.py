"""Estimators of noise without ground truth recover noise that was put in."""

from __future__ import annotations

import numpy as np
import pytest

from closemesh.lab.simulation.noise_statistics import (
    core_sigma,
    epipolar_distances,
    fit_noise_core,
    fundamental_matrix,
    repetition_sigma,
    second_differences,
    three_cornered_hat,
)


def noise(rng: np.random.Generator, sigma: float, *shape: int) -> np.ndarray:
    return sigma * rng.normal(size=(*shape, 2))


def test_the_hat_finds_each_network_and_wrong_keypoints_hardly_count() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 500, (4000, 2))
    points = np.stack([truth + noise(rng, sigma, 4000) for sigma in (1.0, 2.0, 3.0)])
    np.testing.assert_allclose(three_cornered_hat(points), [1, 2, 3], rtol=0.08)
    points[0, :200] += 80
    points[1, 200:400] = np.nan
    np.testing.assert_allclose(three_cornered_hat(points), [1, 2, 3], rtol=0.25)
    assert np.isnan(three_cornered_hat(np.full((3, 50, 2), np.nan))).all()


def test_a_mixture_is_separated() -> None:
    rng = np.random.default_rng(1)
    lengths = np.linalg.norm(np.concatenate([noise(rng, 1.0, 9000), noise(rng, 8.0, 1000)]), axis=-1)
    found = fit_noise_core(lengths)
    assert found.core == pytest.approx(1, rel=0.05)
    assert found.tail == pytest.approx(8, rel=0.15)
    assert found.tail_fraction == pytest.approx(0.1, abs=0.02)
    assert core_sigma(lengths) == pytest.approx(1, rel=0.1)
    assert np.isnan(fit_noise_core(lengths[:5]).core)


def test_repetitions_give_their_own_noise_without_a_common_error() -> None:
    rng = np.random.default_rng(2)
    shared = noise(rng, 5.0, 600)
    assert repetition_sigma(shared + noise(rng, 0.7, 6, 600)) == pytest.approx(0.7, rel=0.05)


def test_second_differences_give_white_noise_on_a_smooth_motion() -> None:
    rng = np.random.default_rng(3)
    t = np.linspace(0, 20, 2000)[:, None]
    smooth = 300 * np.concatenate([np.sin(t), np.cos(t)], axis=1)
    assert core_sigma(second_differences(smooth + noise(rng, 1.5, 2000))) == pytest.approx(1.5, rel=0.05)


def test_epipolar_distances_of_two_cameras_give_the_noise() -> None:
    rng = np.random.default_rng(4)
    points = rng.uniform((-1, -1, 4), (1, 1, 6), (3000, 3))
    c, s = np.cos(0.6), np.sin(0.6)
    turned = points @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T + (-2.5, 0.3, 0.8)
    a, b = (1000 * one[:, :2] / one[:, 2:] + noise(rng, 1.2, 3000) for one in (points, turned))
    b[:60] += 70
    F = fundamental_matrix(a, b)
    assert F is not None
    distance = np.abs(epipolar_distances(F, a, b))
    assert np.median(distance) / 0.6745 == pytest.approx(1.2, rel=0.1)
    assert fundamental_matrix(a[:5], b[:5]) is None
