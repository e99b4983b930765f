"""What is known about the camera: the order of the sources, their uncertainty, and the table of usual cameras."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from closemesh.core.errors import InputError
from closemesh.geometry.camera import default_focal
from closemesh.initialization.camera_files import find_camera_file, intrinsics_path
from closemesh.initialization.intrinsics import (
    PRIOR_LOG_STD,
    USUAL_CAMERAS,
    check_focal,
    find_camera_prior,
    usual_focal,
)
from closemesh.pipeline.fingerprints import intrinsics_fingerprint


@pytest.fixture
def clip(known_scene, tmp_path):
    return replace(known_scene.clip, path=tmp_path / "a.mp4", focal_px=700.0, focal_log_std=0.03)


def test_sources_in_order(clip, tmp_path):
    guessed = find_camera_prior(replace(clip, focal_px=None), None)
    assert (guessed.focal, guessed.focal_log_std) == (pytest.approx(592.0), PRIOR_LOG_STD)
    assert guessed.source == "estimated" and guessed.principal_point == (320, 240) and guessed.up_cam is None
    stored = find_camera_prior(clip, None)
    assert (stored.focal, stored.focal_log_std, stored.source) == (700.0, 0.03, "metadata")
    (tmp_path / "a.mp4.camera.json").write_text(json.dumps({"fov_x": 60.0}))
    assert find_camera_prior(clip, None).focal_log_std == 0.1
    intrinsics_path(clip.path).write_text(json.dumps({"fx": 500}))
    beside = find_camera_prior(clip, None)
    assert (beside.focal, beside.focal_log_std, beside.source) == (500.0, 0.0, "sidecar")
    (tmp_path / "other.json").write_text(json.dumps({"fx": 800, "up": [0, -2, 0], "up_std": 0.01}))
    given = find_camera_prior(clip, None, str(tmp_path / "other.json"))
    assert (given.focal, given.source, given.up_cam, given.up_std) == (800.0, "sidecar", (0, -1, 0), 0.01)
    option = find_camera_prior(clip, 900.0, str(tmp_path / "other.json"))
    assert (option.focal, option.focal_log_std, option.source, option.up_cam) == (900.0, 0.0, "option", (0, -1, 0))


def test_a_missing_file_is_an_error(clip, tmp_path):
    assert find_camera_file(clip.path, None) is None
    with pytest.raises(InputError, match=r"none\.json: no such file"):
        find_camera_prior(clip, None, str(tmp_path / "none.json"))


def test_the_fingerprint_follows_the_content_of_the_file(clip, tmp_path):
    assert intrinsics_fingerprint(clip.path, None) is None
    intrinsics_path(clip.path).write_text("{}")
    beside = intrinsics_fingerprint(clip.path, None)
    given = tmp_path / "given.json"
    assert intrinsics_fingerprint(clip.path, str(given)) is None
    given.write_text('{"fx": 5}')
    first = intrinsics_fingerprint(clip.path, str(given))
    given.write_text('{"fx": 6}')
    assert len({beside, first, intrinsics_fingerprint(clip.path, str(given)), None}) == 4


def test_usual_cameras_agree_with_the_default_focal_length():
    median, log_std = usual_focal()
    assert median == pytest.approx(default_focal((3, 4)) / 5, rel=0.03)
    assert log_std == pytest.approx(0.3, abs=0.05)
    assert sum(row[2] for row in USUAL_CAMERAS) == 100
    assert all(0.3 < row[1] < 2.5 for row in USUAL_CAMERAS)


def test_a_given_focal_length_needs_no_file(clip, tmp_path):
    """A damaged file beside the clip stops nothing then; one that is named is read for its vertical."""
    intrinsics_path(clip.path).write_text("{")
    assert find_camera_prior(clip, 1000.0).focal == 1000.0
    with pytest.raises(InputError):
        find_camera_prior(clip, None)
    given = tmp_path / "b.json"
    given.write_text(json.dumps({"fx": 900, "up": [0, -1, 0]}))
    assert find_camera_prior(clip, 1000.0, str(given)).up_cam == (0, -1, 0)


IMPOSSIBLE = [4.25, 0.01, 1e-9, 0.0, -1000.0, 1e6, 1e300, math.inf, -math.inf, math.nan]


@pytest.mark.parametrize("focal", IMPOSSIBLE)
def test_an_impossible_focal_length_of_an_option_is_one_line(clip, focal: float):
    with pytest.raises(InputError, match=r"^--focal: the focal length .*give pixels, .* not millimeters") as raised:
        find_camera_prior(clip, focal)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("focal", IMPOSSIBLE)
def test_an_impossible_focal_length_in_a_file_is_one_line(clip, tmp_path, focal: float):
    path = tmp_path / "camera.json"
    path.write_text(json.dumps({"fx": focal}))
    with pytest.raises(InputError, match=r"camera\.json"):
        find_camera_prior(clip, None, str(path))
    with pytest.raises(InputError, match=r"^result of WHAM: "):
        check_focal(focal, clip.size, "result of WHAM")


@pytest.mark.parametrize("focal", IMPOSSIBLE)
def test_an_impossible_focal_length_in_the_metadata_is_left_out(clip, focal: float):
    assert find_camera_prior(replace(clip, focal_px=focal), None).source == "estimated"


@pytest.mark.parametrize("diagonals", [0.21, *(row[1] for row in USUAL_CAMERAS), 29.0])
def test_focal_lengths_of_cameras_are_possible(clip, diagonals: float):
    focal = diagonals * math.hypot(*clip.size)
    assert find_camera_prior(clip, focal).focal == focal
    assert find_camera_prior(replace(clip, focal_px=focal), None).source == "metadata"
