"""A BVH file, read independently, has the joints of the result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from bvh_reader import Bvh

from closemesh.body.motion import motion_joints
from closemesh.body.skeleton import JOINT_NAMES
from closemesh.interchange.bvh import write_bvh
from closemesh.interchange.scene import ExportedScene


def test_joints_are_within_a_millimeter(scene: ExportedScene, tmp_path: Path) -> None:
    write_bvh(scene, tmp_path)
    regular = scene.at_constant_rate()
    expected = motion_joints(regular.motion_world, scene.body)
    for person, name in enumerate(scene.people):
        bvh = Bvh(tmp_path / f"{name}.bvh")
        assert {joint.name for joint in bvh.joints} == set(JOINT_NAMES)
        assert len(bvh.rows) == len(regular.clip)
        for frame in np.flatnonzero(regular.motion.valid[:, person]):
            found = bvh.positions(frame)
            joints = np.stack([found[joint] for joint in JOINT_NAMES])
            np.testing.assert_allclose(joints, expected[frame, person], atol=1e-3)


def test_frame_time_and_length(scene: ExportedScene, tmp_path: Path) -> None:
    write_bvh(scene, tmp_path)
    bvh = Bvh(tmp_path / "person_00.bvh")
    np.testing.assert_allclose(bvh.frame_time, 1 / 25, atol=1e-8)
    seconds = scene.clip.times[-1] - scene.clip.times[0]
    assert abs((len(bvh.rows) - 1) * bvh.frame_time - seconds) <= bvh.frame_time / 2


def test_a_person_who_is_not_valid_stays_in_the_last_pose(scene: ExportedScene, tmp_path: Path) -> None:
    write_bvh(scene, tmp_path)
    [missing, *_] = np.flatnonzero(~scene.at_constant_rate().motion.valid[:, 0])
    rows = Bvh(tmp_path / "person_00.bvh").rows
    np.testing.assert_array_equal(rows[missing], rows[missing - 1])


def test_angles_do_not_jump(scene: ExportedScene, tmp_path: Path) -> None:
    write_bvh(scene, tmp_path)
    for name in scene.people:
        assert np.abs(np.diff(Bvh(tmp_path / f"{name}.bvh").rows, axis=0)).max() < 60
