"""Correlated noise has the requested variances, correlations and quantiles, and statistics recover them."""

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

VARIANCES = torch.tensor([0.2, 0.3, 0.5, 0.0])
FPS = 30.0


def noise(variances: torch.Tensor = VARIANCES, mixing: torch.Tensor | None = None) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return correlated_noise((200, 60, 2, 3, 1), variances, torch.as_tensor(TIMES).float(), FPS, generator, mixing)


def requested_correlation(variances: torch.Tensor, lag: int) -> float:
    decay = np.where(TIMES > 0, np.exp(-lag / FPS / np.maximum(TIMES, 1e-9)), 0)
    return float(variances.numpy() @ decay)


def test_noise_is_standard_normal_and_decorrelates_as_requested():
    values = noise()
    assert values.shape == (200, 60, 2, 3, 1)
    for t in (0, 59):
        assert float(values[:, t].std()) == pytest.approx(1, abs=0.05)
    for lag in (1, 5, 18):
        measured = (values[:, lag:] * values[:, :-lag]).mean()
        assert float(measured) == pytest.approx(requested_correlation(VARIANCES, lag), abs=0.05)


def test_keypoints_are_correlated_as_requested():
    correlation = np.array([[1, 0.8, 0], [0.8, 1, -0.3], [0, -0.3, 1]])
    values = noise(mixing=torch.as_tensor(np.linalg.cholesky(correlation)).float())
    measured = np.corrcoef(values[..., 0].flatten(0, 2).T.numpy())
    assert np.allclose(measured, correlation, atol=0.05)
    factor = correlation_factor(values[..., 0].flatten(0, 2).double().numpy())
    assert np.allclose(factor @ factor.T, correlation, atol=0.05)


def test_process_variances_are_recovered():
    series = [one.double().numpy() for one in noise()]
    variances = process_variances(lagged_correlation(series), FPS)
    requested, found = (
        [requested_correlation(torch.as_tensor(s), lag) for lag in LAGS] for s in (VARIANCES.double(), variances)
    )
    assert np.allclose(requested, found, atol=0.05)
    assert variances.sum() == pytest.approx(1)


def test_variances_of_rare_events_are_recovered():
    rate = 0.08
    events = [(normal_rank(one) < rate).double().numpy() for one in noise()]
    variances = event_variances(events, rate, FPS)
    requested, found = (
        [requested_correlation(torch.as_tensor(s), lag) for lag in LAGS] for s in (VARIANCES.double(), variances)
    )
    assert np.allclose(requested, found, atol=0.12)


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


def test_jumping_noise_has_the_same_correlation_and_smaller_steps():
    generator = torch.Generator().manual_seed(0)
    times = torch.as_tensor(TIMES).float()
    variances = torch.tensor([0.0, 0.3, 0.5, 0.2])
    drifting, jumping = (
        correlated_noise((300, 60, 1, 1, 2), variances, times, FPS, generator, jumps=jumps) for jumps in (0.0, 0.9)
    )
    assert float(jumping.std()) == pytest.approx(1, abs=0.05)
    for lag in (1, 5, 18):
        measured = (jumping[:, lag:] * jumping[:, :-lag]).mean()
        assert float(measured) == pytest.approx(requested_correlation(variances, lag), abs=0.05)
    steps = [float(values.diff(dim=1).norm(dim=-1).median()) for values in (drifting, jumping)]
    assert steps[1] < 0.6 * steps[0]
    assert jump_fraction(steps[1], variances.numpy(), FPS) == pytest.approx(0.9, abs=0.05)
