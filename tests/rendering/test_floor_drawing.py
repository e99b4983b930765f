"""The floor has metric lines, and shadows lie under what casts them."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from closemesh.rendering.floor import draw_floor, draw_shadow, vertex_areas
from closemesh.rendering.viewpoints import view_camera
from closemesh.structures import Camera

POINTS = np.array([[-1.0, 0, -1], [1, 1.7, 1]])
AREAS = np.full(4000, 2e-4)
CAMERA = Camera(500.0, (160.0, 90.0), (320, 180), "option", np.diag([1.0, -1, -1, 1])[None])


@pytest.mark.parametrize("view", ["side", "top"])
def test_the_shadow_is_below_the_body(view: str) -> None:
    observer = view_camera(view, CAMERA, POINTS, (640, 360))  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    body = rng.normal(0, 0.05, (1, 4000, 3)) + np.array([0.4, 0.1, -0.3])
    white = np.full((360, 640, 3), 255, np.uint8)
    shadow = 255 - draw_shadow(white, observer, body, AREAS)[..., 0].astype(float)
    assert shadow.max() > 60
    rows, columns = np.mgrid[:360, :640] + 0.5
    center = [(shadow * columns).sum() / shadow.sum(), (shadow * rows).sum() / shadow.sum()]
    on_floor = observer.T_cam_world[0] @ [0.4, 0, -0.3, 1]
    expected = on_floor[:2] / on_floor[2] * observer.focal + np.array(observer.principal_point)
    np.testing.assert_allclose(center, expected, atol=1.5)


def test_a_body_far_above_the_floor_has_little_shadow() -> None:
    observer = view_camera("top", CAMERA, POINTS, (640, 360))
    white, body = np.full((360, 640, 3), 255, np.uint8), np.zeros((1, 4000, 3))
    low, high = (
        draw_shadow(white, observer, body + np.array([0, height, 0]), AREAS / 20).astype(int) for height in (0.05, 1.5)
    )
    assert (255 - low).sum() > 3 * (255 - high).sum() > 0


def test_nothing_has_no_shadow() -> None:
    white = np.full((180, 320, 3), 255, np.uint8)
    assert (draw_shadow(white, CAMERA, np.zeros((0, 4000, 3)), AREAS) == 255).all()


def test_lines_are_at_half_meters() -> None:
    observer = view_camera("top", CAMERA, POINTS, (640, 640))
    row = draw_floor(observer, POINTS)[322].astype(int).sum(-1)
    is_line = row < np.median(row) - 20
    starts = np.flatnonzero(is_line[1:] & ~is_line[:-1])
    depth = observer.T_cam_world[0, 2, 3]
    np.testing.assert_allclose(np.diff(starts) * depth / observer.focal, 0.5, atol=0.02)
    assert len(starts) >= 4


def test_areas_of_a_ball_add_up() -> None:
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.5)
    areas = vertex_areas(np.asarray(ball.vertices), np.asarray(ball.faces))
    assert areas.sum() == pytest.approx(np.pi, rel=5e-3)
    assert areas.max() < 2 * areas.mean()
