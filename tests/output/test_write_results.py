"""contacts.json, scene.json, meshes and the whole folder: written, read back, rejected when damaged."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from closemesh.body.motion import stream_vertices
from closemesh.config.loading import to_dict
from closemesh.config.schema import Config
from closemesh.core.errors import InputError, OutputError
from closemesh.core.output_folder import RESULT_FILES, OutputFolder
from closemesh.core.progress import NullProgress
from closemesh.core.records import load_record, save_record
from closemesh.output.people import camera_motion, read_people
from closemesh.output.result_json import read_contacts, read_scene, scene_camera, write_contacts
from closemesh.output.write import write_frame_meshes, write_results
from closemesh.structures import Contact, Observations, PairContacts, Reconstruction, WeightFile

HOLD = Contact(0, 1, "left_hand", "right_hand", 1, 4, 0.0, 0.004)


@dataclass(frozen=True)
class Stage:
    name: str = "observe"
    seconds: float = 1.5
    peak_rss_mb: float | None = 300.0
    peak_gpu_mb: float | None = None
    from_cache: bool = False
    run: str = "ab12"


def pair(a: int, b: int, num_frames: int, *contacts: Contact) -> PairContacts:
    distance = np.linspace(0, 0.1, num_frames)
    distance[-1] = np.nan
    return PairContacts(a, b, distance, np.linspace(0.01, 0, num_frames), contacts)


@pytest.fixture
def reconstruction(dance, observations: Observations) -> Reconstruction:
    contacts = (pair(0, 1, len(dance.clip), HOLD),)
    return Reconstruction(
        dance.clip,
        dance.camera,
        observations,
        motions={"initial": dance.motion, "optimised": dance.motion},
        contacts={"initial": (), "optimised": contacts},
        weight_files=(WeightFile("detector.onnx", "ff", "Apache-2.0"),),
        config=to_dict(Config(seed=3)),
        notes=("focal length estimated",),
    )


def write(out: Path, r: Reconstruction, dance) -> None:
    frames = (np.full((120, 160, 3), 90, dtype=np.uint8) for _ in range(len(dance.clip)))
    output = OutputFolder(out)
    with output.staging() as staged:
        write_results(staged, r, dance.body, [Stage()], frames, NullProgress(), "ab12")
        output.publish(staged, RESULT_FILES, last="scene.json")


def same_pairs(a: tuple[PairContacts, ...], b: tuple[PairContacts, ...]) -> None:
    assert [(p.person_a, p.person_b, p.contacts) for p in a] == [(p.person_a, p.person_b, p.contacts) for p in b]
    for one, other in zip(a, b, strict=True):
        np.testing.assert_allclose(one.distance, other.distance, atol=1e-5)
        np.testing.assert_allclose(one.depth, other.depth, atol=1e-5)


def test_contacts_round_trip(dance, tmp_path: Path) -> None:
    num_frames = len(dance.clip)
    before = (pair(0, 1, num_frames), pair(1, 2, num_frames))
    after = (pair(0, 1, num_frames, HOLD),)
    write_contacts(tmp_path / "contacts.json", dance.clip, before, after)
    read_before, read_after = read_contacts(tmp_path / "contacts.json")
    same_pairs(read_before, before)
    same_pairs(read_after, after)
    contact = json.loads((tmp_path / "contacts.json").read_text())["pairs"][0]["after"]["contacts"][0]
    assert contact["start_seconds"] == pytest.approx(dance.clip.times[1], abs=1e-4)
    assert contact["end_seconds"] == pytest.approx(dance.clip.times[4], abs=1e-4)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "damaged"), ("[]", "schema None"), ('{"schema": 99}', "schema 99"), ('{"schema": 1}', "damaged")],
)
def test_bad_contact_files(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "contacts.json").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_contacts(tmp_path / "contacts.json")
    assert "\n" not in str(caught.value)


def test_all_files_are_written(reconstruction: Reconstruction, dance, tmp_path: Path) -> None:
    write(tmp_path, reconstruction, dance)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {
        "people/person_00.npz",
        "people/person_01.npz",
        "observations.npz",
        "contacts.json",
        "meshes/scene.glb",
        "overlay.mp4",
        "scene.json",
        ".closemesh",
    }
    observations = load_record(tmp_path / "observations.npz", Observations)
    np.testing.assert_array_equal(observations.keypoints, reconstruction.observations.keypoints)
    same_pairs(read_contacts(tmp_path / "contacts.json")[1], reconstruction.contacts["optimised"])


def test_observations_of_older_versions_load(reconstruction: Reconstruction, tmp_path: Path) -> None:
    save_record(tmp_path / "observations.npz", reconstruction.observations)
    arrays = dict(np.load(tmp_path / "observations.npz"))
    header = json.loads(str(arrays["record"]))
    arrays.pop("mask_confidence", None)
    header["fields"].pop("mask_confidence", None)
    arrays["record"] = np.array(json.dumps(header))
    np.savez(tmp_path / "old.npz", **arrays)
    old = load_record(tmp_path / "old.npz", Observations)
    assert old.mask_confidence is None
    np.testing.assert_array_equal(old.sigmas, reconstruction.observations.sigmas)


def test_scene_describes_input_and_quality(reconstruction: Reconstruction, dance, tmp_path: Path) -> None:
    write(tmp_path, reconstruction, dance)
    scene = read_scene(tmp_path / "scene.json")
    assert scene["input"]["name"] == "dance.mp4"
    assert scene["input"]["frame_range"] == [7, 12]
    assert scene["body_model"] == {"name": dance.body.name, "sha256": dance.body.sha256}
    assert scene["weight_files"] == [{"name": "detector.onnx", "sha256": "ff", "licence": "Apache-2.0"}]
    assert scene["seed"] == scene["config"]["seed"] == 3
    assert scene["stages"][0]["peak_megabytes"] == 300
    assert scene["quality"]["optimised"]["contacts"] == 1
    assert scene["pairs"] == [[0, 1]]
    assert scene["run"] == scene["stages"][0]["run"] == "ab12"
    assert scene["notes"] == ["focal length estimated"]
    assert [person["frames_valid"] for person in scene["people"]] == [6, 6]


def test_the_folder_gives_the_motion_back(reconstruction: Reconstruction, dance, tmp_path: Path) -> None:
    write(tmp_path, reconstruction, dance)
    camera = scene_camera(read_scene(tmp_path / "scene.json"))
    assert (camera.focal, camera.principal_point, camera.size) == (
        dance.camera.focal,
        dance.camera.principal_point,
        dance.camera.size,
    )
    np.testing.assert_allclose(camera.T_cam_world, dance.camera.T_cam_world, atol=1e-12)
    motion = camera_motion(read_people(tmp_path / "people"), camera, dance.body)
    np.testing.assert_allclose(motion.transl, dance.motion.transl, atol=1e-5)
    np.testing.assert_allclose(motion.rotations, dance.motion.rotations, atol=1e-5)


def test_a_static_camera_is_stored_once(make_dance, reconstruction: Reconstruction, tmp_path: Path) -> None:
    static = make_dance(moving=False)
    uncertain = replace(static.camera, focal_std=120.0, up_std=0.06)
    write(tmp_path, replace(reconstruction, camera=uncertain), static)
    scene = read_scene(tmp_path / "scene.json")
    assert (scene["camera"]["focal_std_px"], scene["camera"]["up_std"]) == (120.0, 0.06)
    assert (scene_camera(scene).focal_std, scene_camera(scene).up_std) == (120.0, 0.06)
    assert np.shape(scene["camera"]["T_cam_world"]) == (4, 4)
    np.testing.assert_array_equal(scene_camera(scene).T_cam_world, static.camera.T_cam_world)


def test_an_incomplete_camera_is_reported_as_damage() -> None:
    with pytest.raises(InputError, match="no complete camera"):
        scene_camera({"input": {"frames": 3}, "camera": {}})


def test_a_second_run_replaces_all_files_of_the_first(reconstruction: Reconstruction, dance, tmp_path: Path) -> None:
    write(tmp_path, reconstruction, dance)
    (tmp_path / "people" / "notes.txt").write_text("mine")
    other = {"output": {"mesh_format": "ply", "overlay": False}}
    write(tmp_path, replace(reconstruction, config=other), dance)
    assert not (tmp_path / "overlay.mp4").exists()
    assert len(list((tmp_path / "meshes" / "ply").rglob("*.ply"))) == 12
    assert (tmp_path / "meshes" / "scene.glb").exists()
    write(tmp_path, reconstruction, dance)
    assert not (tmp_path / "meshes" / "ply").exists()
    assert (tmp_path / "people" / "notes.txt").read_text() == "mine"


def test_the_old_result_stays_when_the_new_one_cannot_be_written(
    reconstruction: Reconstruction, dance, tmp_path: Path
) -> None:
    write(tmp_path, reconstruction, dance)
    (tmp_path / "contacts.json").write_text("changed by the user")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(OutputError, match=r"contacts\.json was changed after closemesh wrote it"):
        write(tmp_path, replace(reconstruction, notes=()), dance)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("mesh_format", ["ply", "obj"])
def test_frame_meshes(mesh_format, dance, tmp_path: Path) -> None:
    valid = dance.motion.valid.copy()
    valid[3, 1] = False
    motion = replace(dance.motion, valid=valid)
    write_frame_meshes(tmp_path / "m", mesh_format, dance.camera, motion, dance.body, NullProgress())
    files = {str(path.relative_to(tmp_path / "m")) for path in (tmp_path / "m").rglob(f"*.{mesh_format}")}
    assert len(files) == 11
    assert f"person_01/000003.{mesh_format}" not in files
    mesh = trimesh.load(tmp_path / "m" / "person_01" / f"000005.{mesh_format}", process=False, maintain_order=True)
    expected = list(stream_vertices(dance.motion_world, dance.body))[5][1]
    np.testing.assert_allclose(mesh.vertices, expected, atol=1e-4)
    np.testing.assert_array_equal(mesh.faces, dance.body.faces)
