"""Tables, SMPL-X files, meshes and the camera have the values of the result."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import smplx
import torch
import trimesh
from stand_in_body import write_smplx_stand_in

from closemesh.body.loading import load_body
from closemesh.body.motion import motion_joints, stream_vertices
from closemesh.body.skeleton import JOINT_NAMES
from closemesh.initialization.camera_files import read_camera_file
from closemesh.interchange.camera import write_camera
from closemesh.interchange.export import FORMATS
from closemesh.interchange.scene import ExportedScene
from closemesh.interchange.smplx_npz import write_smplx
from closemesh.interchange.tables import write_tables


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_joints_and_contacts_in_tables(scene: ExportedScene, tmp_path: Path) -> None:
    write_tables(scene, tmp_path)
    rows = read_table(tmp_path / "joints.csv")
    assert len(rows) == 12 * 2
    expected = motion_joints(scene.motion_world, scene.body)
    for row in rows:
        t, p = int(row["frame"]), int(row["person"])
        assert abs(float(row["seconds"]) - scene.clip.times[t]) < 1e-6
        cells = [row[f"{name}_{axis}"] for name in JOINT_NAMES for axis in "xyz"]
        if row["valid"] == "1":
            np.testing.assert_allclose(np.array(cells, float).reshape(55, 3), expected[t, p], atol=1e-6)
        else:
            assert (t, p) in [(5, 0), (6, 0)] and not any(cells)
    [contact] = read_table(tmp_path / "contacts.csv")
    assert (contact["part_a"], contact["part_b"], contact["start"], contact["end"]) == ("left_hand", "back", "2", "4")
    assert abs(float(contact["end_seconds"]) - scene.clip.times[4]) < 1e-6


def test_smplx_files_give_the_same_bodies(scene: ExportedScene, tmp_path: Path) -> None:
    file = write_smplx_stand_in(tmp_path / "SMPLX_FEMALE.npz")
    body = load_body(file)
    licensed = replace(scene, body=body, motion=replace(scene.motion, body_model=body.name))
    write_smplx(licensed, tmp_path)
    regular = licensed.at_constant_rate(whole=True)
    expected = motion_joints(regular.motion_world, body)
    for person, name in enumerate(scene.people):
        with np.load(tmp_path / f"{name}.npz") as npz:
            values = dict(npz)
        frames = len(values["trans"])
        assert values["poses"].shape == (frames, 165) and str(values["gender"]) == "female"
        assert values["mocap_frame_rate"] == int(values["mocap_frame_rate"]) == 25
        model = smplx.SMPLX(str(file), use_pca=False, flat_hand_mean=True, ext="npz", num_betas=10, batch_size=frames)
        names = (
            "global_orient",
            "body_pose",
            "jaw_pose",
            "leye_pose",
            "reye_pose",
            "left_hand_pose",
            "right_hand_pose",
        )
        parts = dict(zip(names, np.split(values["poses"], [3, 66, 69, 72, 75, 120], axis=1), strict=True))
        parts |= {"transl": values["trans"], "expression": values["expression"]}
        parts |= {"betas": np.tile(values["betas"], (frames, 1))}
        with torch.no_grad():
            joints = model(**{key: torch.as_tensor(part, dtype=torch.float32) for key, part in parts.items()}).joints
        np.testing.assert_allclose(joints[:, :55], expected[:, person], atol=1e-3)


def test_betas_of_the_bundled_body_are_not_given_to_smplx(scene: ExportedScene, tmp_path: Path) -> None:
    write_smplx(scene, tmp_path)
    with np.load(tmp_path / "person_00.npz") as npz:
        assert not npz["betas"].any() and str(npz["gender"]) == "neutral"


def test_meshes_are_those_of_the_frames(scene: ExportedScene, tmp_path: Path) -> None:
    FORMATS["ply"].write(scene, tmp_path)
    assert not (tmp_path / "ply" / "person_00" / "000005.ply").exists()
    mesh = trimesh.load(tmp_path / "ply" / "person_01" / "000005.ply", process=False)
    vertices = list(stream_vertices(scene.motion_world, scene.body))
    np.testing.assert_allclose(mesh.vertices, vertices[5][1], atol=1e-5)  # type: ignore[union-attr]


def test_the_camera_is_read_back(scene: ExportedScene, tmp_path: Path) -> None:
    write_camera(scene, tmp_path)
    values = json.loads((tmp_path / "camera.json").read_text())
    np.testing.assert_allclose(values["T_cam_world"], scene.camera.T_cam_world)
    np.testing.assert_allclose(values["seconds"], scene.clip.times)
    read = read_camera_file(tmp_path / "camera.json", scene.camera.size)
    assert (read.focal, read.principal_point) == (scene.camera.focal, scene.camera.principal_point)
