"""Films look enough like films of people for the real detector, and are the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from made_up_motion import seen_from_the_front, two_people

from closemesh.config.schema import ClipConfig
from closemesh.core.progress import NullProgress
from closemesh.lab.simulation.measure import measure_video
from closemesh.lab.simulation.rendered_video import render_frames, render_video
from closemesh.lab.simulation.scene import SimulatedScene
from closemesh.video import open_clip


@pytest.fixture(scope="module")
def scene() -> SimulatedScene:
    """The two stand a metre apart."""
    return seen_from_the_front(two_people(frames=4, offset=(1.0, 0, 0.2)).frames(slice(0, 4)), distance=4.5)


def test_the_same_seed_gives_the_same_film_and_another_one_other_clothes(scene: SimulatedScene):
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


def test_the_real_detector_finds_both_people_in_a_film(scene: SimulatedScene, tmp_path):
    path = tmp_path / "film.mp4"
    render_video(scene, path, 1, NullProgress())
    clip = open_clip(path, ClipConfig())
    assert len(clip) == 4
    assert clip.size == scene.camera.size
    measured = measure_video(scene, path)
    assert measured.found.all()
    assert measured.detections.detected.all()
    off = np.linalg.norm(measured.detections.raw[..., :2] - measured.truth.pixels, axis=-1)
    seen = ~measured.truth.hidden & (measured.detections.raw[..., 2] > 0)
    assert np.median((off / measured.truth.size[..., None])[seen]) < 0.05
