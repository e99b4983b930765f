"""`closemesh.load`: a result folder as an object, its positions in both frames, and bad folders in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from embrace import embrace
from finished_result import write_finished_result

from closemesh import Result, load
from closemesh.body.loading import load_bundled_body
from closemesh.body.motion import motion_in_camera, motion_in_world, motion_joints, stream_vertices
from closemesh.core.errors import ClosemeshError, InputError
from closemesh.video.video_files import write_video

FRAMES = 6
TOLERANCE = 1e-4  # Meters: person files have axis-angle vectors in single precision.


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished result on the bundled body, without overlay."""
    folder, body = tmp_path_factory.mktemp("loaded") / "out", load_bundled_body()
    write_finished_result(folder, embrace(body, FRAMES), body)
    return folder


@pytest.fixture(scope="module")
def result(out: Path) -> Result:
    return load(str(out))


def test_joints_are_those_of_the_body_model(result: Result) -> None:
    body = load_bundled_body()
    expected = motion_joints(embrace(body, FRAMES), body)  # [T, P, 55, 3]
    for person in result.people:
        assert person.joints("camera").shape == (FRAMES, len(person.joint_names), 3)
        np.testing.assert_allclose(person.joints("camera"), expected[:, person.index], atol=TOLERANCE)


def test_world_joints_are_the_camera_joints_moved_by_the_camera(result: Result) -> None:
    T_world_cam = np.linalg.inv(result.camera.T_cam_world)
    for person in result.people:
        moved = np.einsum("tij,tkj->tki", T_world_cam[:, :3, :3], person.joints("camera"))
        np.testing.assert_allclose(moved + T_world_cam[:, None, :3, 3], person.joints(), atol=1e-6)


def test_vertices_are_those_of_the_stage_in_both_frames(result: Result) -> None:
    expected = list(stream_vertices(result.stage("optimised"), result.body))
    R, t = result.camera.T_cam_world[2, :3, :3], result.camera.T_cam_world[2, :3, 3]
    for person in result.people:
        in_camera, in_world = person.vertices(2, "camera"), person.vertices(2)
        np.testing.assert_allclose(in_camera, expected[2][person.index], atol=TOLERANCE)
        np.testing.assert_allclose(in_world @ R.T + t, in_camera, atol=TOLERANCE)
        assert result.faces.max() == len(in_camera) - 1


def test_the_motion_goes_into_the_world_and_back(result: Result) -> None:
    again = motion_in_camera(motion_in_world(result.motion, result.camera, result.body), result.camera, result.body)
    np.testing.assert_allclose(again.transl, result.motion.transl, atol=1e-5)


def test_records_are_typed(result: Result) -> None:
    (pair,) = result.contacts
    assert pair.contacts and (pair.person_a, pair.person_b) == (0, 1)
    assert len(pair.distance) == len(result.times) == FRAMES
    assert result.people[0].valid.all() and result.people[1].confidence.shape == (FRAMES,)
    assert set(result.quality) == {"optimised"} and result.notes == ()
    pelvis = result.people[0].joints("camera")[0, 0]
    pixel = result.camera.K @ pelvis
    assert (0 < pixel[:2] / pixel[2]).all() and (pixel[:2] / pixel[2] < result.camera.size).all()


def test_render_writes_a_view(result: Result, tmp_path: Path) -> None:
    assert result.render("side", tmp_path / "side.mp4") == tmp_path / "side.mp4"
    assert (tmp_path / "side.mp4").stat().st_size > 1000


def test_export_writes_a_format(result: Result, tmp_path: Path) -> None:
    (file,) = result.export("camera", tmp_path / "exported")
    assert file.is_file() and result.export(["camera"], tmp_path / "exported") == [file]


def test_the_representation_is_short(result: Result, out: Path) -> None:
    assert repr(result).startswith(f"Result({str(out)!r}: 2 people, 6 frames") and "\n" not in repr(result)
    assert repr(result.people[1]) == "Person(1: valid in 6 of 6 frames)"


def test_a_notebook_shows_the_closest_frame_and_the_contacts(result: Result, out: Path) -> None:
    without = result._repr_html_()
    assert "<img" not in without and f"<td>{result.contacts[0].contacts[0].part_a} - " in without
    width, height = result.camera.size
    frames = [np.full((height, width, 3), 20 * t, np.uint8) for t in range(FRAMES)]
    write_video(frames, out / "overlay.mp4", result.times)
    try:
        assert 'src="data:image/jpeg;base64,/9j/' in result._repr_html_()
        image = result.overlay(2)
        assert image is not None and abs(float(image.mean()) - 40) < 4
    finally:
        (out / "overlay.mp4").unlink()


@pytest.mark.parametrize(("t", "frame", "error"), [(FRAMES, "world", IndexError), (-1, "world", IndexError)])
def test_a_frame_that_is_not_there(result: Result, t: int, frame: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"is not in 0\.\.5"):
        result.people[0].vertices(t)


def test_a_frame_of_reference_that_is_not_there(result: Result) -> None:
    with pytest.raises(ValueError, match="give 'world' or 'camera'"):
        result.people[0].joints("cam")  # type: ignore[arg-type]


def test_a_folder_without_a_result_is_named_in_one_line(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match="holds no finished result; run closemesh reconstruct") as raised:
            load(folder)
        assert "\n" not in str(raised.value) and str(folder) in str(raised.value)
    (tmp_path / "scene.json").write_text("{")
    with pytest.raises(InputError, match=r"scene\.json is damaged"):
        load(tmp_path)


def test_a_missing_file_is_named_when_it_is_used(tmp_path: Path) -> None:
    body = load_bundled_body()
    write_finished_result(tmp_path / "out", embrace(body, 2), body)
    (tmp_path / "out" / "contacts.json").unlink()
    loaded = load(tmp_path / "out")
    with pytest.raises(ClosemeshError, match=r"contacts\.json not found"):
        _ = loaded.contacts
    assert len(loaded.people) == 2


def test_importing_closemesh_loads_neither_numpy_nor_torch() -> None:
    code = "import sys, closemesh; assert 'load' in dir(closemesh); print({'numpy', 'torch'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout.strip() == "set()"
