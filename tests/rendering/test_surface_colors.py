"""Colors by contact and by depth show what is measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from embrace import embrace

from closemesh.body.loading import load_bundled_body
from closemesh.body.motion import stream_vertices
from closemesh.contact.measure import measure_contacts
from closemesh.contact.signed_distance import WatertightMesh
from closemesh.core.progress import NullProgress
from closemesh.rendering.surface_colors import (
    CROSSING,
    NEAR,
    TOUCHING,
    contact_colors,
    depth_colors,
    distance_colors,
    signed_distances,
)

BALL = trimesh.creation.icosphere(subdivisions=4, radius=0.5)


def balls(gap: float) -> np.ndarray:
    """Vertices [2, V, 3] of two balls with this distance between their surfaces."""
    return np.stack([BALL.vertices, BALL.vertices + np.array([1 + gap, 0, 0])])


@pytest.mark.parametrize("gap", [0.05, -0.04])
def test_distances_of_balls(gap: float) -> None:
    vertices = balls(gap)
    distances = signed_distances(WatertightMesh(BALL.faces), vertices, vertices, np.ones(2, bool))
    expected = np.linalg.norm(vertices - np.array([[[1 + gap, 0, 0]], [[0, 0, 0]]]), axis=-1)
    near = np.isfinite(distances)
    assert near.any(1).all()
    np.testing.assert_allclose(distances[near], expected[near] - 0.5, atol=2e-3)
    assert distances.min() == pytest.approx(gap, abs=2e-3)
    assert (expected[~near] - 0.5 > 0.098).all()


def test_absent_people_are_not_touched() -> None:
    vertices = balls(-0.04)
    assert np.isinf(signed_distances(WatertightMesh(BALL.faces), vertices, vertices, np.array([True, False]))).all()


def test_colors_of_distances() -> None:
    colors = distance_colors(np.array([[-0.01, 0.005, 0.0131, 0.5]]))[0]
    np.testing.assert_allclose(colors[:3], [CROSSING, TOUCHING, NEAR], atol=1)
    assert np.ptp(colors[3]) < 10  # Gray.


def test_an_embrace_crosses_where_it_is_measured_to_cross() -> None:
    body = load_bundled_body("light")
    motion = embrace(body, frames=6)
    (pair,) = measure_contacts(motion, body, NullProgress())
    colors = contact_colors(motion, body)
    frames = list(colors.frames)
    assert [text.split(",")[0] for _, text in colors.legend] == ["crossing", "touching", "near"]
    touched = [(frame.base == np.array(TOUCHING)).all(-1).any() or frame.seen_through.any() for frame in frames]
    assert np.mean(np.array(touched) == (pair.distance < 0.013)) > 0.8
    assert all(frame.base.shape == (2, len(body.v_template), 3) for frame in frames)


def test_nearer_is_lighter(dance) -> None:
    colors = depth_colors(dance.motion, dance.camera, dance.body)
    for frame, vertices in zip(colors.frames, stream_vertices(dance.motion, dance.body), strict=True):
        light = (frame.base @ np.array([0.2126, 0.7152, 0.0722])).ravel()
        depth = vertices[..., 2].ravel()
        assert np.corrcoef(light, depth)[0, 1] < -0.8
    first, last = (np.array(color) @ [0.2126, 0.7152, 0.0722] for color, _ in (colors.legend[0], colors.legend[-1]))
    assert first > last + 100
    assert "in front" in colors.legend[0][1] and "behind" in colors.legend[-1][1]


def test_a_clip_without_people_has_colors_too(dance) -> None:
    motion = replace(dance.motion, valid=np.zeros_like(dance.motion.valid))
    assert len(list(depth_colors(motion, dance.camera, dance.body).frames)) == len(dance.clip)
