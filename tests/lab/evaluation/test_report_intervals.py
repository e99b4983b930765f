"""Intervals over windows: right on average, and narrow where windows agree."""

from __future__ import annotations

import numpy as np
import pytest

from closemesh.lab.evaluation.report import interval, paired_difference


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_mean_weighs_windows_by_their_values() -> None:
    found = interval(np.array([10.0, 20.0]), np.array([30, 10]), rng())
    assert found.mean == pytest.approx(12.5)
    assert found.n == 40
    assert (found.low, found.high) == (10, 20)


def test_one_window_gives_no_interval_for_others() -> None:
    found = interval(np.array([10.0]), np.array([30]), rng())
    assert (found.mean, found.low, found.high) == (10, None, None)
    change = paired_difference((np.ones(1), np.ones(1)), (np.zeros(1), np.ones(1)), rng())
    assert change.low is None
    assert not change.significant


def test_windows_that_agree_leave_no_doubt() -> None:
    found = interval(np.full(5, 7.0), np.arange(1, 6), rng())
    assert (found.low, found.high) == pytest.approx((7, 7))


def test_the_interval_covers_the_true_mean_nineteen_times_of_twenty() -> None:
    draws = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        found = interval(draws.normal(50, 10, size=40), np.full(40, 64), draws)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 50 <= found.high
    assert covered / 200 == pytest.approx(0.95, abs=0.04)


def test_a_small_change_shows_when_windows_are_paired() -> None:
    draws = np.random.default_rng(2)
    old, counts = draws.normal(50, 10, size=30), np.full(30, 64)
    better = old - 1 + draws.normal(0, 1, size=30)
    change = paired_difference((old, counts), (better, counts), rng())
    assert change.significant
    assert change.new - change.old == pytest.approx(-1, abs=0.6)
    unpaired = interval(better, counts, rng())
    assert unpaired.low is not None
    assert unpaired.low < change.old  # Two intervals side by side would not show it.
    same = paired_difference((old, counts), (old + draws.normal(0, 1, size=30), counts), rng())
    assert not same.significant


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(3).normal(size=12)
    assert interval(values, np.ones(12), rng()) == interval(values, np.ones(12), rng())
