"""The z-buffer against known answers."""

from __future__ import annotations

import linecache

import numpy as np
import pytest
import trimesh

from closemesh.rendering.zbuffer import compiled, render_mesh

FOCAL, CENTER = 100.0, (50.0, 40.0)
BLACK = np.zeros((80, 100, 3), dtype=np.uint8)
WHITE = np.full(3, 255.0)


def draw(image: np.ndarray, points: np.ndarray, faces: list, colors: np.ndarray, opacity: float = 1.0) -> np.ndarray:
    points, faces = np.asarray(points, dtype=np.float32), np.asarray(faces)
    colors = np.broadcast_to(np.asarray(colors, dtype=np.float32), points.shape)
    return render_mesh(image, points, faces, colors, FOCAL, CENTER, opacity)


def square(depth: float, half: float = 0.2) -> np.ndarray:
    """[4, 3] facing the camera; 2 * 100 * half / depth pixels wide around the center."""
    x, y = half * np.array([-1, -1, 1, 1]), half * np.array([-1, 1, 1, -1])
    return np.stack([x, y, np.full(4, depth)], axis=1)


SQUARE_FACES = [[0, 1, 2], [0, 2, 3]]


def test_a_triangle_covers_its_area() -> None:
    corners = np.array([[10.2, 12.3], [20.7, 70.1], [88.4, 33.6]])  # Counterclockwise in the image.
    points = np.c_[(corners - CENTER) / FOCAL * 2, np.full(3, 2.0)]
    image = draw(BLACK, points, [[0, 1, 2]], WHITE)
    (ax, ay), (bx, by) = corners[1] - corners[0], corners[2] - corners[0]
    area = abs(ax * by - ay * bx) / 2
    assert image[..., 0].sum() / 255 == pytest.approx(area, rel=5e-3)
    assert image[40, 40].tolist() == [255, 255, 255]
    assert image[75, 10].tolist() == [0, 0, 0]


def test_edges_are_smooth() -> None:
    image = draw(BLACK, square(2.0, half=0.205), SQUARE_FACES, WHITE)  # From 39.75 to 60.25: a sample of each edge.
    assert image[40, 38:41, 0].tolist() == [0, 128, 255]


def test_two_triangles_leave_no_seam() -> None:
    image = draw(BLACK, square(2.0), SQUARE_FACES, WHITE)
    assert (image[30:50, 40:60] == 255).all()
    assert image[..., 0].sum() / 255 == 20 * 20


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_nearer_triangles_occlude_farther_ones(order: list[int]) -> None:
    squares = [square(2.0, half=0.4), square(1.0, half=0.1)]  # 40 and 20 pixels wide.
    colors = [np.tile([255, 0, 0], (4, 1)), np.tile([0, 255, 0], (4, 1))]
    points = np.concatenate([squares[i] for i in order])
    faces = np.concatenate([SQUARE_FACES, np.array(SQUARE_FACES) + 4])
    image = draw(BLACK, points, faces, np.concatenate([colors[i] for i in order]))
    assert (image[..., 1] == 255).sum() == 20 * 20
    assert (image[..., 0] == 255).sum() == 40 * 40 - 20 * 20


def test_opacity_blends_with_the_image_only() -> None:
    points = np.concatenate([square(2.0), square(1.0, half=0.1)])  # The nearer covers the farther.
    faces = np.concatenate([SQUARE_FACES, np.array(SQUARE_FACES) + 4])
    colors = np.repeat([[200.0, 0, 0], [0, 200.0, 0]], 4, axis=0)
    image = draw(np.full_like(BLACK, 100), points, faces, colors, opacity=0.75)
    assert image[40, 50].tolist() == [25, 175, 25]
    assert image[5, 5].tolist() == [100, 100, 100]


def test_a_sphere_has_the_silhouette_of_a_cone() -> None:
    radius, distance = 0.5, 3.0
    ball = trimesh.creation.icosphere(subdivisions=5, radius=radius)
    image = draw(BLACK, ball.vertices + np.array([0, 0, distance]), ball.faces, WHITE)
    # Rays that touch the sphere make a cone whose tangent is r / sqrt(d^2 - r^2).
    expected = np.pi * (FOCAL * radius / np.sqrt(distance**2 - radius**2)) ** 2
    assert image[..., 0].sum() / 255 == pytest.approx(expected, rel=5e-3)


def test_back_faces_are_culled() -> None:
    assert not draw(BLACK, square(2.0), [[2, 1, 0], [3, 2, 0]], WHITE).any()


def test_colors_follow_perspective() -> None:
    # A strip that recedes from depth 1 at the left to 4 at the right, with color from 0 to 240.
    points = np.array([[-0.4, -0.2, 1], [-0.4, 0.2, 1], [1.6, 0.2, 4], [1.6, -0.2, 4]])
    image = draw(BLACK, points, SQUARE_FACES, np.array([0, 0, 240, 240])[:, None])
    column = 60  # The ray x = 0.105 z at the pixel's center meets the strip where -0.4 + 2 s = 0.105 (1 + 3 s).
    s = (0.105 + 0.4) / (2 - 3 * 0.105)
    assert image[40, column, 0] == pytest.approx(240 * s, abs=2)


@pytest.mark.parametrize(
    "shift", [[0, 0, -4], [0, 0, -2], [9, 0, 0], [0, -9, 0]], ids=["behind", "at the camera", "right", "above"]
)
def test_invisible_triangles_change_nothing(shift: list[float]) -> None:
    image = np.arange(BLACK.size, dtype=np.uint8).reshape(BLACK.shape)
    np.testing.assert_array_equal(draw(image, square(2.0) + shift, SQUARE_FACES, WHITE), image)


def test_a_partly_visible_square_is_drawn() -> None:
    image = draw(BLACK, square(2.0) - np.array([1.0, 0.8, 0]), SQUARE_FACES, WHITE)  # Around the corner.
    assert (image[:10, :10] == 255).all()
    assert image[..., 0].sum() / 255 == 10 * 10


def test_the_input_image_is_not_changed() -> None:
    image = BLACK.copy()
    draw(image, square(2.0), SQUARE_FACES, WHITE)
    assert not image.any()


def test_kernels_work_where_no_cache_can_be_written() -> None:
    source = "def double(x):\n    return 2 * x\n"
    linecache.cache["<nowhere>"] = (len(source), None, source.splitlines(keepends=True), "<nowhere>")
    scope: dict = {}
    exec(compile(source, "<nowhere>", "exec"), scope)  # numba finds no folder for code without a file.
    assert compiled(scope["double"])(21) == 42
