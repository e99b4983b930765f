"""Noise has the variances, correlations and quantiles that were asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from closemesh.lab.simulation.detector_errors import correlated_noise, normal_rank, quantile
from closemesh.lab.simulation.statistics import (
    LAGS,
    TIMES,
    correlation_factor,
    event_variances,
    jump_fraction,
    lagged_correlation,
    process_variances,
    rayleigh_lengths,
)

SHARES = torch.tensor([0.2, 0.3, 0.5, 0.0])
FPS = 30.0


def noise(shares: torch.Tensor = SHARES, mixing: torch.Tensor | None = None) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return correlated_noise((200, 60, 2, 3, 1), shares, torch.as_tensor(TIMES).float(), FPS, generator, mixing)


def asked_correlation(shares: torch.Tensor, lag: int) -> float:
    lasting = np.where(TIMES > 0, np.exp(-lag / FPS / np.maximum(TIMES, 1e-9)), 0)
    return float(shares.numpy() @ lasting)


def test_noise_is_standard_normal_at_all_times_and_forgets_as_asked():
    values = noise()
    assert values.shape == (200, 60, 2, 3, 1)
    for t in (0, 59):
        assert float(values[:, t].std()) == pytest.approx(1, abs=0.05)
    for lag in (1, 5, 18):
        measured = (values[:, lag:] * values[:, :-lag]).mean()
        assert float(measured) == pytest.approx(asked_correlation(SHARES, lag), abs=0.05)


def test_keypoints_depend_on_each_other_as_asked():
    correlation = np.array([[1, 0.8, 0], [0.8, 1, -0.3], [0, -0.3, 1]])
    values = noise(mixing=torch.as_tensor(np.linalg.cholesky(correlation)).float())
    measured = np.corrcoef(values[..., 0].flatten(0, 2).T.numpy())
    assert np.allclose(measured, correlation, atol=0.05)
    factor = correlation_factor(values[..., 0].flatten(0, 2).double().numpy())
    assert np.allclose(factor @ factor.T, correlation, atol=0.05)


def test_what_lasts_is_found_again():
    series = [one.double().numpy() for one in noise()]
    shares = process_variances(lagged_correlation(series), FPS)
    asked, found = ([asked_correlation(torch.as_tensor(s), lag) for lag in LAGS] for s in (SHARES.double(), shares))
    assert np.allclose(asked, found, atol=0.05)
    assert shares.sum() == pytest.approx(1)


def test_rare_events_last_as_long_as_before():
    rate = 0.08
    events = [(normal_rank(one) < rate).double().numpy() for one in noise()]
    shares = event_variances(events, rate, FPS)
    asked, found = ([asked_correlation(torch.as_tensor(s), lag) for lag in LAGS] for s in (SHARES.double(), shares))
    assert np.allclose(asked, found, atol=0.12)


def test_quantiles_are_linear_between_levels():
    levels = torch.tensor([0.0, 0.5, 0.9, 1.0])
    table = torch.tensor([[[0.0, 1, 2, 10], [1, 1, 1, 1]], [[-1, 0, 1, 2], [0, 2, 4, 6]]])
    rank = torch.rand(50, 2, generator=torch.Generator().manual_seed(0))
    chosen = torch.tensor([0, 1])
    values = quantile(table, levels, rank, torch.ones(1, dtype=torch.long), chosen)
    for column in (0, 1):
        assert np.allclose(values[:, column], np.interp(rank[:, column], levels, table[1, column]), atol=1e-6)


def test_rayleigh_lengths_keep_the_order_and_the_distribution():
    distances = np.random.default_rng(0).gamma(2, size=2000)
    lengths = rayleigh_lengths(distances)
    assert np.array_equal(np.argsort(distances), np.argsort(lengths))
    assert np.mean(lengths**2) == pytest.approx(2, abs=0.05)


def test_noise_that_jumps_has_the_same_correlation_but_mostly_stands_still():
    generator = torch.Generator().manual_seed(0)
    times = torch.as_tensor(TIMES).float()
    shares = torch.tensor([0.0, 0.3, 0.5, 0.2])
    wandering, jumping = (
        correlated_noise((300, 60, 1, 1, 2), shares, times, FPS, generator, jumps=jumps) for jumps in (0.0, 0.9)
    )
    assert float(jumping.std()) == pytest.approx(1, abs=0.05)
    for lag in (1, 5, 18):
        measured = (jumping[:, lag:] * jumping[:, :-lag]).mean()
        assert float(measured) == pytest.approx(asked_correlation(shares, lag), abs=0.05)
    steps = [float(values.diff(dim=1).norm(dim=-1).median()) for values in (wandering, jumping)]
    assert steps[1] < 0.6 * steps[0]
    assert jump_fraction(steps[1], shares.numpy(), FPS) == pytest.approx(0.9, abs=0.05)
