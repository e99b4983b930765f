"""Resampling to one rate is exact for steady motion, and the up axis turns people and camera together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from closemesh.body.loading import load_bundled_body
from closemesh.body.motion import motion_in_camera, motion_joints
from closemesh.core.progress import NullProgress
from closemesh.interchange.scene import ExportedScene, load_scene
from closemesh.structures import BodyMotion


def steady_motion(motion: BodyMotion, times: np.ndarray) -> BodyMotion:
    """World motion at constant speed: every joint turns about an axis of its own, all people move along a line."""
    rng = np.random.default_rng(2)
    speed = 2.0 * rng.normal(size=(1, motion.num_people, 55, 3))
    turns = Rotation.from_rotvec((times[:, None, None, None] * speed).reshape(-1, 3)).as_matrix()
    return motion.with_pose(
        rotations=turns.reshape(len(times), motion.num_people, 55, 3, 3).astype(np.float32),
        transl=(times[:, None, None] * [0.3, 0.1, 0.2] + np.zeros((1, motion.num_people, 1))).astype(np.float32),
    )


def test_steady_motion_is_resampled_exactly(scene: ExportedScene) -> None:
    motion = replace(scene.motion, valid=np.ones_like(scene.motion.valid))
    motion = steady_motion(motion, scene.clip.times)
    steady = replace(scene, motion=motion_in_camera(motion, scene.camera, scene.body))
    found = steady.at_constant_rate()
    np.testing.assert_allclose(np.diff(found.clip.times), 0.04)
    expected = steady_motion(found.motion, found.clip.times)
    within = found.clip.times <= scene.clip.times[-1]
    np.testing.assert_allclose(found.motion_world.rotations[within], expected.rotations[within], atol=1e-5)
    np.testing.assert_allclose(found.motion_world.transl[within], expected.transl[within], atol=1e-5)


def test_even_times_are_left_alone(scene: ExportedScene) -> None:
    clip = replace(scene.clip, times=0.3 + np.arange(12) / 25)
    motion = replace(scene.motion, valid=np.ones_like(scene.motion.valid))
    even = replace(scene, clip=clip, motion=motion)
    found = even.at_constant_rate()
    np.testing.assert_allclose(found.camera.T_cam_world, even.camera.T_cam_world, atol=1e-9)
    np.testing.assert_allclose(found.motion.rotations, even.motion.rotations, atol=1e-5)
    np.testing.assert_array_equal(found.clip.frame_indices, clip.frame_indices)


def test_rates_are_whole_where_they_nearly_are_or_must_be(scene: ExportedScene) -> None:
    def rate(fps: float, whole: bool) -> float:
        return replace(scene, clip=replace(scene.clip, fps=fps)).at_constant_rate(whole).clip.fps

    assert rate(29.999, False) == 30.0
    assert rate(29.97, False) == 29.97
    assert rate(29.97, True) == 30.0
    assert rate(0.2, True) == 1.0


def test_one_frame(scene: ExportedScene) -> None:
    single = replace(
        scene,
        clip=replace(scene.clip, times=scene.clip.times[:1], frame_indices=scene.clip.frame_indices[:1]),
        camera=scene.camera.frames(slice(0, 1)),
        motion=scene.motion.frames(slice(0, 1)),
    )
    np.testing.assert_allclose(single.at_constant_rate().motion.rotations, single.motion.rotations, atol=1e-5)


def test_z_is_up(finished: Path) -> None:
    body = load_bundled_body()
    y_up, z_up = (load_scene(finished, up, NullProgress()) for up in ("y", "z"))
    before, after = (motion_joints(one.motion_world, body) for one in (y_up, z_up))
    np.testing.assert_allclose(after, before[..., [0, 2, 1]] * [1, -1, 1], atol=1e-5)
    np.testing.assert_array_equal(y_up.motion.transl, z_up.motion.transl)
