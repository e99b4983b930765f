"""Rotation to the viewing ray of a pixel."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from closemesh.geometry.camera import ray_rotation


@pytest.mark.parametrize("pixel", [(320, 200), (0, 0), (639, 30), (320.0001, 200)])
def test_the_depth_axis_of_a_crop_is_its_viewing_ray(pixel: tuple[float, float]) -> None:
    focal, size = 500.0, (640, 400)
    center = (320.0, 200.0)
    R = ray_rotation(np.array(pixel), focal, center)
    ahead = R @ [0, 0, 1]
    np.testing.assert_allclose(focal * ahead[:2] / ahead[2] + np.array(size) / 2, pixel, atol=1e-6)
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    angle = np.arctan2(np.linalg.norm(np.array(pixel) - (320, 200)), focal)
    assert Rotation.from_matrix(R).magnitude() == pytest.approx(angle, abs=1e-9), "no roll around the ray"
