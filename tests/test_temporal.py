"""Paths, runs and jerk over a time axis; the earlier, separate implementations are the references."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from closemesh.temporal import find_runs, jerk, low_pass_weights, nominal_rate, viterbi


def path_of_two_states(evidence, switch):
    """The two-state version that identity switches used: scores are maximized and ties stay."""
    score, came = np.zeros(2), np.zeros((len(evidence), 2), int)
    for k, gain in enumerate(evidence):
        change = score[::-1] - switch[k]
        came[k] = np.where(score >= change, [0, 1], [1, 0])
        score = np.maximum(score, change) + np.array([0, gain])
    states = [int(score[1] > score[0])]
    for k in range(len(evidence) - 1, 0, -1):
        states.append(came[k][states[-1]])
    return states[::-1]


def path_of_first_minima(unary, steps):
    """The version of starts and of left and right: ties take the first state."""
    cost, came_from = unary[0], np.zeros(unary.shape, int)
    for n in range(1, len(unary)):
        options = cost[None, :] + steps[n]  # [now, before]
        came_from[n] = options.argmin(1)
        cost = options.min(1) + unary[n]
    state, path = int(cost.argmin()), []
    for n in range(len(unary) - 1, -1, -1):
        path.append(state)
        state = came_from[n, state]
    return path[::-1]


def test_the_path_is_the_best_of_all_paths() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        unary, steps = rng.random((5, 3)), rng.random((5, 3, 3))

        def cost(path, unary=unary, steps=steps) -> float:
            moves = sum(steps[t, path[t], path[t - 1]] for t in range(1, 5))
            return moves + sum(unary[t, state] for t, state in enumerate(path))

        best = min(itertools.product(range(3), repeat=5), key=cost)
        assert viterbi(unary, lambda t, steps=steps: steps[t]).tolist() == list(best)


@pytest.mark.parametrize("whole", [True, False])
def test_ties_are_decided_as_before(whole: bool) -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        length = int(rng.integers(1, 12))
        unary, steps = rng.integers(0, 3, (length, 4)), rng.integers(0, 3, (length, 4, 4))
        evidence, switch = rng.integers(-3, 4, length), rng.integers(1, 4, length)
        if not whole:
            unary, steps, evidence = unary / 3, steps / 3, (evidence / 3).astype(np.float32)
        assert viterbi(unary, lambda t, steps=steps: steps[t]).tolist() == path_of_first_minima(unary, steps)
        costs = np.stack([np.zeros(length), -evidence], axis=1)
        path = viterbi(costs, lambda t, switch=switch: switch[t] * (1 - np.eye(2)), prefer_stay=True)
        assert path.tolist() == path_of_two_states(evidence, switch)


def test_runs_begin_and_end_with_active_frames() -> None:
    active = np.array([0, 1, 1, 0, 1, 0, 0, 1], bool)
    assert find_runs(active) == [slice(1, 3), slice(4, 5), slice(7, 8)]
    assert find_runs(active, max_step=2) == [slice(1, 5), slice(7, 8)]
    assert find_runs(active, max_step=3) == [slice(1, 8)]
    assert find_runs(np.ones(4, bool)) == [slice(0, 4)]
    assert find_runs(np.zeros(4, bool)) == find_runs(np.zeros(0, bool)) == []


def test_runs_over_true_times() -> None:
    times = np.array([0.0, 0.1, 0.2, 0.9, 1.0])
    assert find_runs(np.ones(5, bool), 0.3, times) == [slice(0, 3), slice(3, 5)]
    assert find_runs(np.array([1, 0, 1, 0, 1], bool), 0.3, times) == [slice(0, 3), slice(4, 5)]


def test_runs_are_those_between_borders() -> None:
    rng = np.random.default_rng(2)
    for _ in range(100):
        active = rng.random(20) < 0.5
        borders = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(int)))
        assert find_runs(active) == [slice(start, end) for start, end in borders.reshape(-1, 2)]


def test_jerk_of_a_cubic_is_its_third_derivative() -> None:
    t = np.arange(6)[:, None, None] / 25
    points = np.concatenate([t**3, 0 * t, 2 * t**3], axis=-1).astype(np.float64)  # [6, 1, 3]
    np.testing.assert_allclose(jerk(points, 25), np.full((3, 1), 6 * 5**0.5))
    assert jerk(points[:3], 25).shape == (0, 1)


def test_low_pass_halves_the_cutoff_and_leaves_slow_motion() -> None:
    times = torch.arange(200, dtype=torch.float64) / 50
    weights = low_pass_weights(times, 4)
    for frequency, gain in ((0.5, 1), (4, 0.5), (12, 0)):
        wave = torch.sin(2 * math.pi * frequency * times)
        inside = slice(60, 140)
        largest = [float(values[inside].abs().max()) for values in (weights @ wave, wave)]
        assert largest[0] == pytest.approx(gain * largest[1], abs=0.01)


def test_low_pass_leaves_constant_acceleration_at_uneven_times() -> None:
    times = torch.tensor([0, 0.03, 0.07, 0.1, 0.4, 0.43, 0.5], dtype=torch.float64)
    path = 1 - 2 * times + 3 * times**2
    assert torch.allclose(low_pass_weights(times, 4) @ path, path, atol=1e-9)


def test_low_pass_below_four_frames_changes_nothing() -> None:
    assert torch.equal(low_pass_weights(torch.tensor([0, 0.1, 0.2]), 4), torch.eye(3))


def test_low_pass_with_a_cutoff_above_the_frame_rate() -> None:
    alternating = torch.tensor([1.0, -1.0] * 20)
    smooth = low_pass_weights(torch.arange(40) / 5, 100) @ alternating
    assert float(smooth[10:30].abs().max()) == pytest.approx(0.5, abs=0.01)  # Of the fastest motion.


def test_rates_are_whole_only_where_the_mean_nearly_is() -> None:
    assert [nominal_rate(fps) for fps in (29.999, 60.02, 29.97, 23.976, 0.004)] == [30.0, 60.02, 29.97, 23.976, 0.004]
    assert nominal_rate(60.009) == 60.0
