"""From another tool's file to a first motion: who is who, where, of what size, and what fills its gaps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from known_scenes import FOCAL, KnownScene, observe_exactly
from stand_in_body import write_licensed_stand_in
from tool_files import TOOLS, Tool, phalp_focal, seen_by, write_amass, write_gvhmr, write_phalp, write_wham

from closemesh.body.loading import load_body
from closemesh.body.skinning import posed_joints
from closemesh.config.schema import InitialiseConfig
from closemesh.core.errors import InputError
from closemesh.core.progress import NullProgress
from closemesh.importers import initialize as start
from closemesh.importers.initialize import start_from_tool
from closemesh.output.quality import standing_heights
from closemesh.structures import BodyMotion, Camera, PoseUncertainty

CONFIG = InitialiseConfig(focal=FOCAL, iterations=3)


def begin(path: Path, scene: KnownScene, told: NullProgress, **changes) -> tuple[Camera, BodyMotion, PoseUncertainty]:
    config = replace(CONFIG, **changes)
    return start_from_tool(path, scene.clip, scene.observations, scene.body, config, torch.device("cpu"), told)


def joint_errors(scene: KnownScene, motion: BodyMotion) -> np.ndarray:
    """[T, P, 22] metres."""
    joints = []
    for one in (motion, scene.motion):
        values = (torch.as_tensor(x, dtype=torch.float32) for x in (one.betas, one.rotations, one.transl))
        joints.append(posed_joints(scene.body, *values)[..., :22, :].numpy())
    return np.linalg.norm(joints[0] - joints[1], axis=-1)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_the_truth_in_a_tools_file_comes_back_on_the_right_tracks(known_scene, tmp_path: Path, tool: Tool) -> None:
    focal = tool.focal(known_scene.camera.size)
    people = seen_by(known_scene.motion, known_scene.body, known_scene.camera, focal)
    path = tool.write(tmp_path, people[::-1], known_scene.camera, focal)  # In another order than our tracks.
    told = NullProgress()
    camera, motion, spread = begin(path, known_scene, told)
    assert (camera.focal, camera.focal_source) == (FOCAL, "option")
    assert motion.valid.all() and motion.confidence.mean() > 0.85  # 4D-Humans says 0.9 in this file.
    assert joint_errors(known_scene, motion).mean() < 1e-3  # Measured: 0.06 mm.
    np.testing.assert_allclose(motion.rotations[:, :, :22], known_scene.motion.rotations[:, :, :22], atol=1e-3)
    assert (spread.rotation_std == np.float32(start.TURN)).all() and spread.pelvis_std.shape == (12, 2, 3)
    betas_told = any("belong to another body" in note for note in told.notes)
    assert betas_told == (tool.name != "4D-Humans")  # Its file has joints, which tell the size of our body.


def test_amass_files_are_placed_by_the_keypoints(known_scene, tmp_path: Path) -> None:
    scene = known_scene
    people = seen_by(scene.motion, scene.body, scene.camera, FOCAL)
    write_amass(tmp_path / "people", people[::-1], scene.camera.T_cam_world[0], fps=30)
    with pytest.raises(InputError, match="tells of nobody"):
        begin(
            tmp_path / "people", replace(scene, clip=replace(scene.clip, times=scene.clip.times + 10)), NullProgress()
        )
    _, motion, _ = begin(tmp_path / "people", scene, NullProgress())
    assert joint_errors(scene, motion).mean() < 1e-3  # Measured: 0.04 mm.


def test_a_track_that_broke_is_one_person(known_scene, tmp_path: Path) -> None:
    people = seen_by(known_scene.motion, known_scene.body, known_scene.camera, phalp_focal((640, 480)))
    write_phalp(tmp_path / "demo.pkl", people, (640, 480), split=5)
    told = NullProgress()
    _, motion, _ = begin(tmp_path / "demo.pkl", known_scene, told)
    assert not any("our own" in note for note in told.notes)
    assert joint_errors(known_scene, motion).mean() < 1e-3


def test_our_own_first_pose_stands_where_the_tool_has_nobody(known_scene, tmp_path: Path) -> None:
    people = seen_by(known_scene.motion, known_scene.body, known_scene.camera, 800)
    write_wham(tmp_path / "wham.pkl", people[:1])
    told = NullProgress()
    _, motion, spread = begin(tmp_path / "wham.pkl", known_scene, told)
    assert any("nobody where track 1 is" in note for note in told.notes)
    errors = joint_errors(known_scene, motion)
    assert errors[:, 0].mean() < 1e-3 and errors[:, 1].mean() < 0.5  # Measured: 0.02 and 112 mm.
    assert (spread.rotation_std[:, 0] == np.float32(start.TURN)).all()
    assert (spread.rotation_std[:, 1] != np.float32(start.TURN)).all()


@pytest.mark.parametrize(("focal", "write"), [(phalp_focal((640, 480)), write_phalp), (800, write_wham)])
def test_sizes_come_from_joints_or_keypoints(known_scene, tmp_path: Path, focal: float, write) -> None:
    """4D-Humans' file has the joints of its body; of WHAM's people only the picture tells the size."""
    betas = np.zeros((2, 10), np.float32)
    betas[:, 0] = [1.5, -1.5]
    motion = known_scene.motion.with_pose(betas=betas)
    seen = observe_exactly(motion, known_scene.camera, known_scene.body)
    scene = replace(known_scene, motion=motion, observations=seen)
    people = seen_by(motion, scene.body, scene.camera, focal)
    more = [scene.camera.size] if write is write_phalp else []
    write(tmp_path / "file.pkl", people, *more)
    _, found, _ = begin(tmp_path / "file.pkl", scene, NullProgress())
    sizes = [standing_heights(one, scene.body) for one in (found, motion)]
    assert abs(sizes[1][0] - sizes[1][1]) > 0.1
    np.testing.assert_allclose(sizes[0], sizes[1], atol=0.015)  # Measured: 4 mm.
    assert joint_errors(scene, found).mean() < 0.02


def test_a_tools_focal_length_is_taken_when_nothing_else_tells_one(known_scene, tmp_path: Path) -> None:
    people = seen_by(known_scene.motion, known_scene.body, known_scene.camera, 700)
    write_gvhmr(tmp_path / "gvhmr", people, known_scene.camera, 700)
    told = NullProgress()
    camera, *_ = begin(tmp_path / "gvhmr", known_scene, told, focal=None)
    assert (camera.focal, camera.focal_source) == (700, "estimated")
    assert any("700 px taken from the result of GVHMR" in note for note in told.notes)


def test_smplx_betas_are_kept_for_the_licensed_body_alone(known_scene, tmp_path: Path) -> None:
    people = seen_by(known_scene.motion, known_scene.body, known_scene.camera, 700)
    write_gvhmr(tmp_path / "gvhmr", people, known_scene.camera, 700)
    licensed = replace(known_scene, body=load_body(write_licensed_stand_in(tmp_path / "SMPLX_NEUTRAL.npz")))
    told = NullProgress()
    _, motion, _ = begin(tmp_path / "gvhmr", licensed, told)
    np.testing.assert_allclose(motion.betas, 0.3, atol=1e-6)
    assert motion.body_model == "smplx/SMPLX_NEUTRAL" and not any("another body" in note for note in told.notes)


def test_people_of_another_clip_match_nobody(known_scene, tmp_path: Path) -> None:
    people = seen_by(known_scene.motion, known_scene.body, known_scene.camera, 800)
    aside = np.array([4.0, 0, 0])
    away = [replace(p, pelvis=p.pelvis + aside, joints=p.joints + aside) for p in people]
    write_wham(tmp_path / "wham.pkl", away)
    with pytest.raises(InputError, match="shows none of the people"):
        begin(tmp_path / "wham.pkl", known_scene, NullProgress())
