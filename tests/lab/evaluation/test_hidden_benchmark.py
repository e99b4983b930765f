"""Hidden people: nothing of them is left in the observations, and errors are of them and of both people."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from known_scenes import KnownScene

from closemesh.lab.evaluation.hidden_benchmark import METHODS, HiddenError, as_json, hidden_errors, hide_person, summary


def test_one_person_is_not_detected_in_the_gap(known_scene: KnownScene) -> None:
    frames, before = slice(3, 9), known_scene.observations
    after = hide_person(before, 1, frames)
    for name in ("boxes", "keypoints", "keypoints3d", "detected", "track_confidence"):
        assert not getattr(after, name)[frames, 1].any()
        assert np.array_equal(getattr(after, name)[:, 0], getattr(before, name)[:, 0])
    assert after.detected[[2, 9], 1].all() and before.detected.all()


def test_errors_are_of_the_hidden_person_and_of_the_distances() -> None:
    truth = np.random.default_rng(0).normal(size=(5, 2, 22, 3))
    assert hidden_errors(truth, truth, 1, 0) == (0.0, 0.0)
    moved = truth.copy()
    moved[:, 1] += [0.1, 0.0, 0.0]
    pose, apart = hidden_errors(moved, truth, 1, 0)
    assert pose == pytest.approx(0, abs=1e-6) and 20 < apart < 100
    assert hidden_errors(moved, truth, 0, 1) == (0.0, pytest.approx(apart))
    bent = truth.copy()
    bent[:, 0, 5] += [0.0, 0.22, 0.0]
    assert hidden_errors(bent, truth, 0, 1)[0] == pytest.approx(10)


def test_the_summary_is_generated_minus_alone() -> None:
    values = {"alone": (60.0, 100.0), "generated": (50.0, 70.0)}
    errors = [
        HiddenError(f"w{number}", 16, method, motion, values[method][0] + number, values[method][1], 1.0)
        for number in range(3)
        for method in METHODS
        for motion in ("refined", "optimised")
    ]
    change = summary(errors, 0)[16]["refined"]["MPJPE"]
    assert (change.old, change.new, change.windows) == (61, 51, 3)
    assert change.low == change.high == pytest.approx(-10)
    written = as_json([*errors, *(replace(one, gap=30) for one in errors)], 0)
    assert set(written["summary"]) == {"16", "30"} and written["windows"][0] == asdict(errors[0])
