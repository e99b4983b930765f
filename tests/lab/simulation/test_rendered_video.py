"""The real detector finds people in rendered videos, and the seed determines a video."""

from __future__ import annotations

import numpy as np
import pytest
from sample_motion import front_view, two_people

from closemesh.config.schema import ClipConfig
from closemesh.core.progress import NullProgress
from closemesh.lab.simulation.measure import measure_video
from closemesh.lab.simulation.rendered_video import render_frames, render_video
from closemesh.lab.simulation.scene import SimulatedScene
from closemesh.video import open_clip


@pytest.fixture(scope="module")
def scene() -> SimulatedScene:
    """The two stand a meter apart."""
    return front_view(two_people(frames=4, offset=(1.0, 0, 0.2)).frames(slice(0, 4)), distance=4.5)


def test_the_seed_determines_the_video(scene: SimulatedScene):
    one, same, other = (next(render_frames(scene, seed)) for seed in (3, 3, 4))
    assert one.shape == (640, 480, 3)
    assert one.dtype == np.uint8
    assert np.array_equal(one, same)
    assert np.abs(one.astype(int) - other).mean() > 10


def test_the_same_seed_gives_the_same_file(scene: SimulatedScene, tmp_path):
    files = [tmp_path / f"{k}.mp4" for k in range(2)]
    for file in files:
        render_video(scene, file, 1, NullProgress())
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_real_detector_finds_both_people_in_a_video(scene: SimulatedScene, tmp_path):
    path = tmp_path / "video.mp4"
    render_video(scene, path, 1, NullProgress())
    clip = open_clip(path, ClipConfig())
    assert len(clip) == 4
    assert clip.size == scene.camera.size
    measured = measure_video(scene, path)
    assert measured.found.all()
    assert measured.detections.detected.all()
    distance = np.linalg.norm(measured.detections.raw[..., :2] - measured.truth.pixels, axis=-1)
    seen = ~measured.truth.hidden & (measured.detections.raw[..., 2] > 0)
    assert np.median((distance / measured.truth.size[..., None])[seen]) < 0.05
