"""The animated scene, read independently, has the vertices, joints, camera and times of the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import smplx
import torch
from gltf_reader import Gltf

from closemesh.body.motion import motion_joints
from closemesh.core.errors import OutputError
from closemesh.output.gltf import write_glb
from closemesh.output.people import read_people, write_people
from closemesh.weights.locate import find_model

PEOPLE = ("person_00", "person_01")


def smplx_vertices(person, body_file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [T, V, 3] and joints [T, 55, 3] of a person file by the reference implementation."""
    num_frames = len(person.trans)
    model = smplx.SMPLX(
        str(body_file), use_pca=False, flat_hand_mean=True, ext="npz", num_betas=10, batch_size=num_frames
    )
    parts = {
        "global_orient": person.root_orient,
        "body_pose": person.pose_body,
        "jaw_pose": person.pose_jaw,
        "leye_pose": person.pose_eye[:, :3],
        "reye_pose": person.pose_eye[:, 3:],
        "left_hand_pose": person.pose_hand[:, :45],
        "right_hand_pose": person.pose_hand[:, 45:],
        "transl": person.trans,
        "expression": person.expression,
        "betas": np.tile(person.betas, (num_frames, 1)),
    }
    with torch.no_grad():
        output = model(**{name: torch.as_tensor(part, dtype=torch.float32) for name, part in parts.items()})
    return output.vertices.numpy(), output.joints[:, :55].numpy()


def test_glb_and_person_files_give_the_same_bodies(make_dance: Callable, tmp_path: Path) -> None:
    dance = make_dance(num_frames=4, variant="std")
    write_glb(tmp_path / "scene.glb", dance.clip, dance.camera, dance.motion, dance.body)
    write_people(tmp_path / "people", dance.clip, dance.camera, dance.motion, dance.body)
    gltf = Gltf(tmp_path / "scene.glb")
    for name, person in zip(PEOPLE, read_people(tmp_path / "people"), strict=True):
        vertices, joints = smplx_vertices(person, find_model("open_body/open_body_std.npz"))
        np.testing.assert_allclose(person.joints, joints, atol=1e-3)
        for key in range(4):
            np.testing.assert_allclose(gltf.skinned(name, key), vertices[key], atol=1e-3)


def test_joint_nodes_are_at_the_joints(dance, tmp_path: Path) -> None:
    write_glb(tmp_path / "scene.glb", dance.clip, dance.camera, dance.motion, dance.body)
    gltf = Gltf(tmp_path / "scene.glb")
    joints = motion_joints(dance.motion_world, dance.body)
    nodes = gltf.json["skins"][1]["joints"]
    assert gltf.nodes[nodes[20]]["name"] == "person_01_left_wrist"
    np.testing.assert_allclose(gltf.global_transforms(3)[nodes, :3, 3], joints[3, 1], atol=1e-4)


def test_times_are_those_of_the_clip_from_its_first_frame(dance, tmp_path: Path) -> None:
    write_glb(tmp_path / "scene.glb", dance.clip, dance.camera, dance.motion, dance.body)
    np.testing.assert_allclose(Gltf(tmp_path / "scene.glb").times(), dance.clip.times - dance.clip.times[0], atol=1e-6)


def test_the_camera_projects_as_that_of_the_clip(dance, tmp_path: Path) -> None:
    write_glb(tmp_path / "scene.glb", dance.clip, dance.camera, dance.motion, dance.body)
    gltf = Gltf(tmp_path / "scene.glb")
    lens = gltf.json["cameras"][0]["perspective"]
    width, height = dance.camera.size
    point_world, key = np.array([0.3, 1.2, 0.5, 1.0]), 4
    x, y, z, _ = np.linalg.inv(gltf.global_transforms(key)[gltf.node("camera")]) @ point_world
    clip_y = y / -z / np.tan(lens["yfov"] / 2)
    clip_x = x / -z / np.tan(lens["yfov"] / 2) / lens["aspectRatio"]
    p = dance.camera.T_cam_world[key] @ point_world
    expected = p[:2] / p[2] * dance.camera.focal + dance.camera.principal_point
    np.testing.assert_allclose([(clip_x + 1) * width / 2, (1 - clip_y) * height / 2], expected, atol=1e-2)


def test_absent_people_are_hidden_at_their_last_position(dance, tmp_path: Path) -> None:
    valid = dance.motion.valid.copy()
    valid[2:4, 0] = False
    motion = replace(dance.motion, valid=valid)
    write_glb(tmp_path / "scene.glb", dance.clip, dance.camera, motion, dance.body)
    gltf = Gltf(tmp_path / "scene.glb")
    joints = motion_joints(dance.motion_world, dance.body)
    hidden = gltf.skinned("person_00", 3)
    np.testing.assert_allclose(hidden, np.broadcast_to(joints[1, 0, 0], hidden.shape), atol=1e-4)
    assert np.ptp(gltf.skinned("person_00", 4)[:, 1]) > 1
    assert np.ptp(gltf.skinned("person_01", 3)[:, 1]) > 1


def test_quaternions_do_not_jump(make_dance: Callable, tmp_path: Path) -> None:
    dance = make_dance(num_frames=40)
    write_glb(tmp_path / "scene.glb", dance.clip, dance.camera, dance.motion, dance.body)
    gltf = Gltf(tmp_path / "scene.glb")
    animation = gltf.json["animations"][0]
    for channel in animation["channels"]:
        if channel["target"]["path"] == "rotation":
            q = gltf.array(animation["samplers"][channel["sampler"]]["output"])
            np.testing.assert_allclose(np.linalg.norm(q, axis=1), 1, atol=1e-5)
            assert ((q[1:] * q[:-1]).sum(1) > 0).all()


def test_constant_values_are_not_animated(make_dance: Callable, tmp_path: Path) -> None:
    dance = make_dance(num_frames=30, moving=False)
    rotations = dance.motion.rotations.copy()
    rotations[:, :, 22:] = np.eye(3)
    write_glb(tmp_path / "s.glb", dance.clip, dance.camera, replace(dance.motion, rotations=rotations), dance.body)
    gltf = Gltf(tmp_path / "s.glb")
    moved = {gltf.nodes[c["target"]["node"]]["name"] for c in gltf.json["animations"][0]["channels"]}
    assert "camera" not in moved
    assert not [name for name in moved if "index" in name or "jaw" in name]
    assert "person_00_left_elbow" in moved


def test_one_frame_needs_no_animation(make_dance: Callable, tmp_path: Path) -> None:
    dance = make_dance(num_frames=1)
    write_glb(tmp_path / "scene.glb", dance.clip, dance.camera, dance.motion, dance.body)
    assert "animations" not in Gltf(tmp_path / "scene.glb").json


def test_a_file_in_the_way(dance, tmp_path: Path) -> None:
    (tmp_path / "meshes").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_glb(tmp_path / "meshes" / "scene.glb", dance.clip, dance.camera, dance.motion, dance.body)


def test_each_person_has_a_node_above_skeleton_and_mesh(dance, tmp_path: Path) -> None:
    write_glb(tmp_path / "scene.glb", dance.clip, dance.camera, dance.motion, dance.body)
    gltf = Gltf(tmp_path / "scene.glb")
    roots = {gltf.nodes[root]["name"]: gltf.nodes[root] for root in gltf.json["scenes"][0]["nodes"]}
    assert set(roots) == {*PEOPLE, "camera"}
    for name in PEOPLE:
        below = [gltf.nodes[child]["name"] for child in roots[name]["children"]]
        assert below == [f"{name}_pelvis", f"{name}_mesh"]
