"""Marker files have the joints and landmarks of the result, in the units that they state."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from closemesh.body.motion import motion_joints, motion_keypoints
from closemesh.body.skeleton import JOINT_INDEX, KEYPOINT_INDEX
from closemesh.interchange.c3d import write_c3d
from closemesh.interchange.markers import marker_tracks
from closemesh.interchange.scene import ExportedScene
from closemesh.interchange.trc import write_trc


def expected_meters(scene: ExportedScene) -> dict[str, np.ndarray]:
    """Positions [T, P, 3] of some markers by their label."""
    motion, body = scene.at_constant_rate().motion_world, scene.body
    joints, points = motion_joints(motion, body), motion_keypoints(motion, body)
    hips = joints[:, :, JOINT_INDEX["left_hip"]] + joints[:, :, JOINT_INDEX["right_hip"]]
    return {
        "Hip": hips / 2,
        "RKnee": joints[:, :, JOINT_INDEX["right_knee"]],
        "LWrist": joints[:, :, JOINT_INDEX["left_wrist"]],
        "LHeel": points[:, :, KEYPOINT_INDEX["left_heel"]],
        "Nose": points[:, :, KEYPOINT_INDEX["nose"]],
    }


def check(scene: ExportedScene, person: int, labels: list[str], found: np.ndarray) -> None:
    """Compare positions [T, M, 3] in millimeters; nan where missing."""
    valid = scene.at_constant_rate().motion.valid[:, person]
    assert np.isnan(found[~valid]).all()
    for label, expected in expected_meters(scene).items():
        np.testing.assert_allclose(found[valid, labels.index(label)], 1000 * expected[valid, person], atol=0.1)


def test_labels_are_words_and_unique(scene: ExportedScene) -> None:
    [track, _] = marker_tracks(scene)
    assert len(set(track.labels)) == len(track.labels) == track.positions.shape[1]
    assert all(label.isalnum() for label in track.labels)


def test_trc(scene: ExportedScene, tmp_path: Path) -> None:
    write_trc(scene, tmp_path)
    for person, name in enumerate(scene.people):
        lines = (tmp_path / f"{name}.trc").read_text().split("\n")
        values = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=True))
        assert (float(values["DataRate"]), values["Units"]) == (25, "mm")
        labels = lines[3].split("\t")[2::3]
        assert len(lines[4].split("\t")) == 2 + 3 * len(labels) and lines[5] == ""
        rows = [line.split("\t") for line in lines[6:-1]]
        assert len(rows) == int(values["NumFrames"]) and len(labels) == int(values["NumMarkers"])
        np.testing.assert_allclose([float(row[1]) for row in rows], np.arange(len(rows)) / 25, atol=1e-6)
        found = np.array([[float(cell or "nan") for cell in row[2:]] for row in rows])
        check(scene, person, labels, found.reshape(len(rows), -1, 3))


def test_c3d(scene: ExportedScene, tmp_path: Path) -> None:
    ezc3d = pytest.importorskip("ezc3d")
    write_c3d(replace(scene, up="z"), tmp_path)
    for person, name in enumerate(scene.people):
        file = ezc3d.c3d(str(tmp_path / f"{name}.c3d"))
        point = file["parameters"]["POINT"]
        assert point["RATE"]["value"] == [25] and point["UNITS"]["value"] == ["mm"]
        assert point["Y_SCREEN"]["value"] == ["+Z"]
        found = file["data"]["points"][:3].transpose(2, 1, 0)
        assert point["FRAMES"]["value"] == [len(found)]
        check(scene, person, point["LABELS"]["value"], found)


def test_the_header_of_a_c3d_file_leads_to_its_data(scene: ExportedScene, tmp_path: Path) -> None:
    write_c3d(scene, tmp_path)
    data = (tmp_path / "person_01.c3d").read_bytes()
    [track] = marker_tracks(scene)[1:]
    assert len(data) % 512 == 0 and struct.unpack_from("<BBH", data) == (2, 0x50, len(track.labels))
    [block] = struct.unpack_from("<H", data, 16)
    first = np.frombuffer(data, "<f4", 4 * len(track.labels), 512 * (block - 1)).reshape(-1, 4)
    np.testing.assert_allclose(first[:, :3], track.positions[0], rtol=1e-6)
    assert (first[:, 3] == 0).all()
