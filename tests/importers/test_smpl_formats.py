"""Result files of every tool: the same people on the same pixels, in the tool's camera and in the clip's."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tool_files import TOOLS, Tool, ToolPerson, phalp_focal, tool_people, transl, write_amass, write_phalp, write_wham

from closemesh.core.arrays import Floats
from closemesh.core.errors import InputError
from closemesh.core.unpickling import load_joblib
from closemesh.geometry.camera import project
from closemesh.importers.camera_alignment import to_clip_camera
from closemesh.importers.registry import import_fingerprint, read_imported_result
from closemesh.motion_files.smpl_parameters import smpl_rest_pelvis
from closemesh.structures import Camera

HERE = Path(__file__).parent


def rotate_about_pelvis(person: ToolPerson, rotation: Floats, pelvis: Floats) -> Floats:
    """Joints [T, 55, 3] of the person after a rotation [T, 3, 3] about the pelvis, at a new pelvis [T, 3]."""
    return np.einsum("tij,tkj->tki", rotation, person.joints - person.pelvis[:, None]) + pelvis[:, None]


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_people_fall_on_the_same_pixels_in_both_cameras(known_scene, tmp_path: Path, tool: Tool) -> None:
    scene, focal = known_scene, tool.focal(known_scene.camera.size)
    people = tool_people(scene.motion, scene.body, scene.camera, focal)
    result = read_imported_result(tool.write(tmp_path, people, scene.camera, focal), scene.clip)
    assert result.tool == tool.name and result.camera is not None
    assert (
        result.camera.focal == pytest.approx(focal, rel=1e-5)
        and result.camera.principal_point == scene.camera.principal_point
    )
    for person, expected in zip(result.people, people, strict=True):
        np.testing.assert_array_equal(person.frames, np.arange(len(scene.clip)))
        np.testing.assert_allclose(person.rotations[:, :22], expected.rotations[:, :22], atol=2e-5)
        by_tool = project(torch.as_tensor(expected.joints), focal, scene.camera.principal_point).numpy()
        same = Camera(
            result.camera.focal, result.camera.principal_point, scene.camera.size, "option", scene.camera.T_cam_world
        )
        # With the tool's camera all joints fall on the tool's pixels. With another focal length the pelvis does, and
        # the other joints differ by the perspective.
        for camera, exact in ((same, True), (scene.camera, False)):
            placed = to_clip_camera(person, result.camera, camera)
            rotation = placed.rotations[:, 0] @ np.swapaxes(expected.rotations[:, 0], -1, -2)
            joints = rotate_about_pelvis(expected, rotation, placed.pelvis)
            off = np.linalg.norm(
                project(torch.as_tensor(joints), camera.focal, camera.principal_point).numpy() - by_tool, axis=-1
            )
            assert off[:, 0].max() < 1e-3
            assert off.max() < (1e-3 if exact else 16)  # Measured: 1e-5, and 10.6 from 12500 pixels (PHALP) to 600.


def test_the_camera_of_phalp_is_that_of_its_source(known_scene, tmp_path: Path) -> None:
    """PHALP projects (joints + camera) with focal length 5000 to a square of 256 with the frame in its middle."""
    size = (640, 480)
    person = tool_people(known_scene.motion, known_scene.body, known_scene.camera, phalp_focal(size))[0]
    write_phalp(tmp_path / "demo.pkl", [person], size)
    frame = next(iter(load_joblib(tmp_path / "demo.pkl").values()))
    stored = person.joints[0] - person.pelvis[0] + smpl_rest_pelvis("smpl", "neutral") + frame["camera"][0]
    square = (stored[:, :2] / stored[:, 2:] * 5000 + 128) * max(size) / 256
    pixels = square - [(max(size) - size[0]) // 2, (max(size) - size[1]) // 2]
    result = read_imported_result(tmp_path / "demo.pkl", known_scene.clip)
    projected = project(torch.as_tensor(person.joints[0]), result.camera.focal, result.camera.principal_point).numpy()
    np.testing.assert_allclose(projected, pixels, atol=0.02)


def test_frames_that_phalp_only_predicts_are_left_out(known_scene, tmp_path: Path) -> None:
    people = tool_people(known_scene.motion, known_scene.body, known_scene.camera, phalp_focal((640, 480)))
    write_phalp(tmp_path / "demo.pkl", people, (640, 480), split=5)
    result = read_imported_result(tmp_path / "demo.pkl", known_scene.clip)
    assert sorted(len(person.frames) for person in result.people) == [5, 7, 12]
    assert result.people[0].joints is not None and np.isfinite(result.people[0].joints[:, [1, 4, 7, 16, 18, 20]]).all()


def test_amass_files_are_people_in_a_world(known_scene, tmp_path: Path) -> None:
    scene = known_scene
    people = tool_people(scene.motion, scene.body, scene.camera, scene.camera.focal)
    write_amass(tmp_path / "people", people, scene.camera.T_cam_world[0], fps=30)
    result = read_imported_result(tmp_path / "people", scene.clip)
    assert result.camera is None and len(result.people) == 2
    R, t = scene.camera.T_cam_world[0, :3, :3], scene.camera.T_cam_world[0, :3, 3]
    np.testing.assert_allclose(result.people[1].pelvis @ R.T + t, people[1].pelvis, atol=1e-5)


def test_joblib_files_are_read_without_joblib() -> None:
    """Both were written by joblib 1.6: plain, and with compress=3."""
    for name in ("joblib_plain.pkl", "joblib_zlib.pkl"):
        data = load_joblib(HERE / name)[0]
        np.testing.assert_array_equal(data["pose"], np.arange(6, dtype=np.float32).reshape(2, 3))
        np.testing.assert_array_equal(data["order"], np.arange(6.0).reshape(2, 3))
        assert data["frame_ids"].tolist() == [3, 4] and data["scalar"] == 0.5 and data["empty"].shape == (0, 3)
        assert data["objects"][1] is None


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.target}",)


def test_malicious_files_are_rejected_and_not_run(known_scene, tmp_path: Path) -> None:
    bad = {"people": {}, "camera": Malicious(tmp_path / "ran")}
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps(bad))
    torch.save(bad, tmp_path / "bad.pt")
    for name in ("bad.pkl", "bad.pt"):
        with pytest.raises(InputError, match=name) as caught:
            read_imported_result(tmp_path / name, known_scene.clip)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_damaged_and_unknown_files_are_one_error_line(known_scene, tmp_path: Path) -> None:
    whole = (HERE / "joblib_zlib.pkl").read_bytes()
    files = {"cut.pkl": whole[:-40], "other.pkl": pickle.dumps([1]), "gz.pkl": b"\x1f\x8b" + whole, "a.txt": b""}
    files |= {"text.pt": b"no zip", "empty.npz": b"", "none.pkl": pickle.dumps({})}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    torch.save({"state_dict": {}}, tmp_path / "weights.pt")
    for name in (*files, "weights.pt", "missing.pkl"):
        with pytest.raises(InputError, match=name.replace(".", r"\.")) as caught:
            read_imported_result(tmp_path / name, known_scene.clip)
        assert "\n" not in str(caught.value)


def test_arrays_of_another_shape_are_named(known_scene, tmp_path: Path) -> None:
    person = tool_people(known_scene.motion, known_scene.body, known_scene.camera, 800)[0]
    write_wham(tmp_path / "wham.pkl", [person])
    data = pickle.loads((tmp_path / "wham.pkl").read_bytes())
    data[0]["pose"] = data[0]["pose"][:, :66]
    (tmp_path / "wham.pkl").write_bytes(pickle.dumps(data))
    with pytest.raises(InputError, match=r"wham\.pkl: pose must be \[N, 72\]"):
        read_imported_result(tmp_path / "wham.pkl", known_scene.clip)


def replaced(value: Any, place: tuple[Any, ...], other: Any) -> Any:
    """A copy of nested values with another one at a place; for a dictionary a number is the position of the key."""
    if not place:
        return other
    key = list(value)[place[0]] if isinstance(value, dict) and isinstance(place[0], int) else place[0]
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[key] = replaced(changed[key], place[1:], other)
    return changed


@pytest.mark.parametrize(
    ("tool", "place", "other"),
    [
        *[("4D-Humans", (0, "time"), value) for value in (None, np.inf, "x", np.zeros(2), 10**400, -1)],
        *[("4D-Humans", (0, "tid"), value) for value in (3, "ab", [[1], [2], [3]], [np.nan] * 3)],
        *[("4D-Humans", (0, "tracked_time"), value) for value in (None, [np.zeros(2)] * 3, [{}] * 3)],
        *[("4D-Humans", (0, "conf"), value) for value in (1.0, ["x"] * 3, [np.nan] * 3)],
        ("4D-Humans", (0, "smpl"), []),
        ("4D-Humans", (0, "smpl", 0, "body_pose"), np.zeros((23, 3, 3))),
        *[("WHAM", (0, "trans"), value) for value in (np.zeros(1), np.full((12, 3), 1e30), "x", None)],
        *[("WHAM", (0, "frame_ids"), np.full(12, value)) for value in (-1.0, 0.5, 1e30)],
        *[("PromptHMR", ("camera",), value) for value in (3, None, [])],
        *[("PromptHMR", ("camera", "img_focal"), value) for value in (None, [], "x", -1.0, 1e30)],
        *[("PromptHMR", ("people", 0, "smplx_cam"), value) for value in (3, [], {"rotmat": 1})],
        ("PromptHMR", ("people", 0, "smplx_cam", "rotmat"), np.full((12, 55, 3, 3), 0.5)),
        ("PromptHMR", ("people", 0, "smplx_cam", "shape"), np.full((12, 10), 1e30)),
    ],
)
def test_values_that_are_not_as_documented_are_one_error_line(
    known_scene, tmp_path: Path, tool: str, place: tuple[Any, ...], other: Any
) -> None:
    writer = next(one for one in TOOLS if one.name == tool)
    focal = writer.focal(known_scene.camera.size)
    people = tool_people(known_scene.motion, known_scene.body, known_scene.camera, focal)
    path = writer.write(tmp_path, people, known_scene.camera, focal)
    data = replaced(load_joblib(path), place, other)
    path.write_bytes(pickle.dumps(data))
    with pytest.raises(InputError, match=path.name) as caught:
        read_imported_result(path, known_scene.clip)
    assert "\n" not in str(caught.value)


def test_a_file_of_gvhmr_without_frames_of_the_camera(known_scene, tmp_path: Path) -> None:
    tool = next(one for one in TOOLS if one.name == "GVHMR")
    people = tool_people(known_scene.motion, known_scene.body, known_scene.camera, 700.0)
    folder = tool.write(tmp_path, people[:1], known_scene.camera, 700.0)
    file = next(folder.iterdir())
    for K in (torch.zeros(0, 3, 3), torch.zeros(12, 3, 3), torch.full((12, 3, 3), torch.nan)):
        torch.save({**torch.load(file, weights_only=True), "K_fullimg": K}, file)
        with pytest.raises(InputError, match=r"hmr4d_results\.pt"):
            read_imported_result(file, known_scene.clip)


def test_the_fingerprint_depends_on_the_content(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(b"1")
    (tmp_path / "b.pkl").write_bytes(b"1")
    assert (
        import_fingerprint(tmp_path / "a.pkl") == import_fingerprint(tmp_path / "b.pkl") != import_fingerprint(tmp_path)
    )
    with pytest.raises(InputError, match="no such file"):
        import_fingerprint(tmp_path / "none.pkl")


def test_the_pelvis_is_that_of_the_file(known_scene) -> None:
    person = tool_people(known_scene.motion, known_scene.body, known_scene.camera, 600)[0]
    np.testing.assert_allclose(transl(person, "smpl") + smpl_rest_pelvis("smpl", "neutral"), person.pelvis, atol=1e-5)
