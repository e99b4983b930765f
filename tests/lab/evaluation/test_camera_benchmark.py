"""Estimated cameras are compared with the true ones."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from closemesh.core.progress import NullProgress
from closemesh.geometry.transforms import upright_axes
from closemesh.lab.evaluation.benchmark_scenes import find_windows
from closemesh.lab.evaluation.camera_benchmark import _error, as_json, measure_cameras, summary
from closemesh.structures import Camera


def _camera(focal: float, pitch: float, focal_std: float = 0.0) -> Camera:
    T_cam_world = np.eye(4)
    up = np.array([0.0, -math.cos(pitch), -math.sin(pitch)])
    T_cam_world[:3, :3] = upright_axes(up, np.array([0.0, 0.0, -1.0]))
    return Camera(focal, (400.0, 300.0), (800, 600), "option", T_cam_world[None], focal_std=focal_std)


def test_errors_of_known_cameras():
    true, estimate = _camera(800.0, 0.2), _camera(1000.0, 0.1, focal_std=200.0)
    error = _error("a", true, 600.0, estimate)
    assert (error.true_focal, error.focal) == pytest.approx((0.8, 1.0))
    assert (error.focal_error, error.prior_error) == pytest.approx((25.0, 25.0))
    assert (error.vertical_error, error.level_error) == pytest.approx((math.degrees(0.1), math.degrees(0.2)))
    assert error.focal_stds == pytest.approx(math.log(0.8) / 0.2) and error.covered
    narrow = _error("b", true, 600.0, replace(estimate, focal_std=50.0))
    assert not narrow.covered
    assert summary([error, narrow])["covered"] == 50.0
    assert summary([error, narrow])["focal_error"] == pytest.approx([25.0, 25.0, 25.0])


def test_a_bundled_window_is_measured():
    windows = find_windows(None, limit=1)
    [error] = measure_cameras(windows, 0, NullProgress())
    assert error.name == windows[0].name
    assert 0.3 < error.focal < 1.6 and error.vertical_error < 25
    assert as_json([error])["windows"][0]["focal"] == error.focal
