"""The compiled z-buffer against a slow one in exact arithmetic, and its rules at edges and equal depths."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from closemesh.rendering.zbuffer import SAMPLES, render_depth, render_mesh

SIZE = (12, 10)  # Width and height.
FOCAL, CENTER = 8.0, (6.0, 5.0)
UNIT = 256


def corners_of(points: np.ndarray, samples: int) -> list[tuple[int, int]]:
    """Corners in units of 1/256 sample, as the z-buffer rounds them."""
    xy = points[:, :2] * (FOCAL / points[:, 2])[:, None] + CENTER
    return [(int(x), int(y)) for x, y in np.rint(samples * UNIT * xy)]


def covered(corners: list[tuple[int, int]], x: Fraction, y: Fraction) -> list[Fraction] | None:
    """Barycentric coordinates of the point, None outside: left and top edges belong to a triangle, others do not."""
    (ax, ay), (bx, by), (cx, cy) = corners[0], corners[2], corners[1]  # Clockwise on the screen.
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if area <= 0:
        return None
    weights = []
    for (px, py), (qx, qy) in (((bx, by), (cx, cy)), ((cx, cy), (ax, ay)), ((ax, ay), (bx, by))):
        side = (qx - px) * (y - py) - (qy - py) * (x - px)
        if side < 0 or (side == 0 and not (qy < py or (qy == py and qx > px))):
            return None
        weights.append(side / area)
    return [weights[0], weights[2], weights[1]]


def reference_depth(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Depth [H, W] at the pixel centers by looking at every triangle."""
    depth = np.full(SIZE[::-1], np.inf)
    corners = corners_of(points, 1)
    for row in range(SIZE[1]):
        for column in range(SIZE[0]):
            x, y = (Fraction(2 * at + 1, 2) * UNIT for at in (column, row))
            for face in faces:
                weights = covered([corners[i] for i in face], x, y)
                if weights is not None:
                    inverse = sum(float(w) / points[i, 2] for w, i in zip(weights, face, strict=True))
                    depth[row, column] = min(depth[row, column], 1 / inverse)
    return depth


@pytest.mark.parametrize("seed", range(6))
def test_depths_are_those_of_the_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = np.c_[rng.uniform(-2, 2, (30, 2)), rng.uniform(1, 4, 30)].astype(np.float32)
    faces = rng.permutation(30).reshape(10, 3)
    faces = np.concatenate([faces, faces[:, ::-1]])  # One of each is seen from its front.
    depth = render_depth(points, faces, FOCAL, CENTER, SIZE)
    expected = reference_depth(points.astype(float), faces)
    np.testing.assert_array_equal(np.isfinite(depth), np.isfinite(expected))
    assert np.isfinite(depth).sum() > 30
    np.testing.assert_allclose(depth, expected, rtol=1e-5)


def at_pixels(pixels: list[tuple[float, float]], depth: float = 2.0) -> np.ndarray:
    """Points [N, 3] that project to these pixels."""
    xy = (np.array(pixels) - CENTER) / FOCAL * depth
    return np.c_[xy, np.full(len(xy), depth)].astype(np.float32)


def test_a_square_owns_the_samples_on_its_left_and_top_edges_only() -> None:
    corners = at_pixels([(2.5, 3.5), (2.5, 6.5), (7.5, 6.5), (7.5, 3.5)])  # Edges through pixel centers.
    depth = render_depth(corners, np.array([[0, 1, 2], [0, 2, 3]]), FOCAL, CENTER, SIZE)
    rows, columns = np.nonzero(np.isfinite(depth))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (3, 5, 2, 6)
    assert len(rows) == 3 * 5


def test_every_sample_of_a_fan_belongs_to_one_triangle() -> None:
    angles = -2 * np.pi * np.arange(7) / 7
    rim = [(6 + 4 * np.cos(a), 5 + 4 * np.sin(a)) for a in angles]
    points, faces = at_pixels([(6.0, 5.0), *rim]), [[0, 1 + i, 1 + (i + 1) % 7] for i in range(7)]
    counts = sum(np.isfinite(render_depth(points, np.array([face]), FOCAL, CENTER, SIZE)).astype(int) for face in faces)
    whole = np.isfinite(render_depth(points, np.array(faces), FOCAL, CENTER, SIZE))
    np.testing.assert_array_equal(counts, whole.astype(int))


def render(points: np.ndarray, faces: np.ndarray, colors: np.ndarray) -> np.ndarray:
    return render_mesh(np.zeros((*SIZE[::-1], 3), np.uint8), points, faces, colors, FOCAL, CENTER)


def test_the_order_of_people_changes_nothing_even_at_equal_depth() -> None:
    rng = np.random.default_rng(3)
    people = [np.c_[rng.uniform(-1.5, 1.5, (30, 2)), rng.uniform(1, 3, 30)].astype(np.float32) for _ in range(2)]
    people.append(people[0].copy())  # Exactly where the first one is.
    colors = [np.full((30, 3), color, np.float32) for color in ((200, 20, 20), (20, 200, 20), (20, 20, 200))]
    own = rng.permutation(30).reshape(10, 3)
    own = np.concatenate([own, own[:, ::-1]])

    def drawn(order: tuple[int, ...]) -> np.ndarray:
        faces = np.concatenate([own + 30 * place for place in range(3)])
        return render(np.concatenate([people[i] for i in order]), faces, np.concatenate([colors[i] for i in order]))

    expected = drawn((0, 1, 2))
    assert expected.any()
    for order in ((2, 1, 0), (1, 2, 0), (1, 0, 2)):
        np.testing.assert_array_equal(drawn(order), expected)


def test_the_order_of_faces_changes_nothing() -> None:
    rng = np.random.default_rng(5)
    points = np.c_[rng.uniform(-2, 2, (60, 2)), rng.uniform(1, 4, 60)].astype(np.float32)
    colors = rng.uniform(0, 255, (60, 3)).astype(np.float32)
    faces = rng.permutation(60).reshape(20, 3)
    np.testing.assert_array_equal(render(points, faces, colors), render(points, faces[::-1], colors))


def test_corners_far_outside_do_no_harm() -> None:
    points = np.array([[-1e6, -1e6, 0.06], [-1e6, 1e6, 0.06], [2e6, 0, 0.06]], np.float32)
    image = render(points, np.array([[0, 1, 2]]), np.full((3, 3), 255, np.float32))
    assert (image == 255).all()


def test_coverage_is_a_mean_over_samples() -> None:
    left = at_pixels([(0, 0), (0, 10), (6.5, 10), (6.5, 0)])
    image = render(left, np.array([[0, 1, 2], [0, 2, 3]]), np.full((4, 3), 200, np.float32))
    assert SAMPLES == 2
    assert image[4, 5:8, 0].tolist() == [200, 100, 0]
