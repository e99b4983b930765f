"""From another tool's file to a first motion: tracks, positions, sizes and frames without a pose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from known_scenes import FOCAL, KnownScene, observe_exactly
from stand_in_body import write_smplx_stand_in
from tool_files import TOOLS, Tool, phalp_focal, tool_people, write_amass, write_gvhmr, write_phalp, write_wham

from closemesh.body.loading import load_body
from closemesh.body.motion import motion_joints
from closemesh.body.skinning import posed_joints
from closemesh.config.schema import InitialiseConfig
from closemesh.core.errors import InputError
from closemesh.core.progress import NullProgress
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.importers import initialize
from closemesh.importers.initialize import import_initial_motion
from closemesh.output.people import write_people
from closemesh.output.quality import standing_heights
from closemesh.structures import BodyMotion, Camera, PoseUncertainty

AS_THEY_ARE = InitialiseConfig(focal=FOCAL, iterations=3, lifter=False)
"""Without the lifter, which else improves imported poses."""


def begin(
    path: Path, scene: KnownScene, progress: NullProgress, **changes
) -> tuple[Camera, BodyMotion, PoseUncertainty]:
    config = replace(AS_THEY_ARE, **changes)
    return import_initial_motion(
        path, scene.clip, scene.observations, scene.body, config, torch.device("cpu"), progress
    )


def joint_errors(scene: KnownScene, motion: BodyMotion) -> np.ndarray:
    """[T, P, 22] meters."""
    joints = []
    for one in (motion, scene.motion):
        values = (torch.as_tensor(x, dtype=torch.float32) for x in (one.betas, one.rotations, one.transl))
        joints.append(posed_joints(scene.body, *values)[..., :22, :].numpy())
    return np.linalg.norm(joints[0] - joints[1], axis=-1)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_true_poses_in_a_file_come_back_on_the_right_tracks(known_scene, tmp_path: Path, tool: Tool) -> None:
    focal = tool.focal(known_scene.camera.size)
    people = tool_people(known_scene.motion, known_scene.body, known_scene.camera, focal)
    path = tool.write(tmp_path, people[::-1], known_scene.camera, focal)  # In another order than the tracks.
    progress = NullProgress()
    camera, motion, std = begin(path, known_scene, progress)
    assert (camera.focal, camera.focal_source) == (FOCAL, "option")
    assert motion.valid.all() and motion.confidence.mean() > 0.85  # 4D-Humans has 0.9 in this file.
    assert joint_errors(known_scene, motion).mean() < 1e-3  # Measured: 0.06 mm.
    np.testing.assert_allclose(motion.rotations[:, :, :22], known_scene.motion.rotations[:, :, :22], atol=1e-3)
    assert (std.rotation_std == np.float32(initialize.ROTATION_STD)).all() and std.pelvis_std.shape == (12, 2, 3)
    fitted = any("belong to another body" in note for note in progress.notes)
    assert fitted == (tool.name != "4D-Humans")  # Its file has joints, which give the size of the body.


def test_amass_files_are_placed_by_the_keypoints(known_scene, tmp_path: Path) -> None:
    scene = known_scene
    people = tool_people(scene.motion, scene.body, scene.camera, FOCAL)
    write_amass(tmp_path / "people", people[::-1], scene.camera.T_cam_world[0], fps=30)
    with pytest.raises(InputError, match="has no people in this part"):
        begin(
            tmp_path / "people", replace(scene, clip=replace(scene.clip, times=scene.clip.times + 10)), NullProgress()
        )
    _, motion, _ = begin(tmp_path / "people", scene, NullProgress())
    assert joint_errors(scene, motion).mean() < 1e-3  # Measured: 0.04 mm.


def test_a_track_with_two_numbers_is_one_person(known_scene, tmp_path: Path) -> None:
    people = tool_people(known_scene.motion, known_scene.body, known_scene.camera, phalp_focal((640, 480)))
    write_phalp(tmp_path / "demo.pkl", people, (640, 480), split=5)
    progress = NullProgress()
    _, motion, _ = begin(tmp_path / "demo.pkl", known_scene, progress)
    assert not any("own first pose" in note for note in progress.notes)
    assert joint_errors(known_scene, motion).mean() < 1e-3


def test_a_track_without_an_imported_person_gets_the_own_first_pose(known_scene, tmp_path: Path) -> None:
    people = tool_people(known_scene.motion, known_scene.body, known_scene.camera, 800)
    write_wham(tmp_path / "wham.pkl", people[:1])
    progress = NullProgress()
    _, motion, std = begin(tmp_path / "wham.pkl", known_scene, progress)
    assert any("no person for track 1" in note for note in progress.notes)
    errors = joint_errors(known_scene, motion)
    assert errors[:, 0].mean() < 1e-3 and errors[:, 1].mean() < 0.5  # Measured: 0.02 and 112 mm.
    assert (std.rotation_std[:, 0] == np.float32(initialize.ROTATION_STD)).all()
    assert (std.rotation_std[:, 1] != np.float32(initialize.ROTATION_STD)).all()


@pytest.mark.parametrize(("focal", "write"), [(phalp_focal((640, 480)), write_phalp), (800, write_wham)])
def test_sizes_come_from_joints_or_keypoints(known_scene, tmp_path: Path, focal: float, write) -> None:
    """4D-Humans' file has the joints of its body; the size of WHAM's people comes from the image."""
    betas = np.zeros((2, 10), np.float32)
    betas[:, 0] = [1.5, -1.5]
    motion = known_scene.motion.with_pose(betas=betas)
    observations = observe_exactly(motion, known_scene.camera, known_scene.body)
    scene = replace(known_scene, motion=motion, observations=observations)
    people = tool_people(motion, scene.body, scene.camera, focal)
    more = [scene.camera.size] if write is write_phalp else []
    write(tmp_path / "file.pkl", people, *more)
    _, found, _ = begin(tmp_path / "file.pkl", scene, NullProgress())
    sizes = [standing_heights(one, scene.body) for one in (found, motion)]
    assert abs(sizes[1][0] - sizes[1][1]) > 0.1
    np.testing.assert_allclose(sizes[0], sizes[1], atol=0.015)  # Measured: 4 mm.
    assert joint_errors(scene, found).mean() < 0.02


def test_the_focal_length_of_the_file_is_used_when_it_is_unknown(known_scene, tmp_path: Path) -> None:
    people = tool_people(known_scene.motion, known_scene.body, known_scene.camera, 700)
    write_gvhmr(tmp_path / "gvhmr", people, known_scene.camera, 700)
    progress = NullProgress()
    camera, *_ = begin(tmp_path / "gvhmr", known_scene, progress, focal=None)
    assert (camera.focal, camera.focal_source) == (700, "estimated")
    assert any("700 px taken from the result of GVHMR" in note for note in progress.notes)


def test_smplx_betas_apply_to_the_licensed_body_only(known_scene, tmp_path: Path) -> None:
    people = tool_people(known_scene.motion, known_scene.body, known_scene.camera, 700)
    write_gvhmr(tmp_path / "gvhmr", people, known_scene.camera, 700)
    licensed = replace(known_scene, body=load_body(write_smplx_stand_in(tmp_path / "SMPLX_NEUTRAL.npz")))
    progress = NullProgress()
    _, motion, _ = begin(tmp_path / "gvhmr", licensed, progress)
    np.testing.assert_allclose(motion.betas, 0.3, atol=1e-6)
    assert motion.body_model == "smplx/SMPLX_NEUTRAL" and not any("another body" in note for note in progress.notes)


def test_betas_of_the_bundled_body_come_from_person_files(known_scene, tmp_path: Path) -> None:
    write_people(tmp_path / "people", known_scene.clip, known_scene.camera, known_scene.motion, known_scene.body)
    progress = NullProgress()
    _, motion, _ = begin(tmp_path / "people", known_scene, progress)
    np.testing.assert_allclose(motion.betas, known_scene.motion.betas, atol=1e-5)
    assert not any("another body" in note for note in progress.notes)


def test_people_of_another_clip_match_no_track(known_scene, tmp_path: Path) -> None:
    people = tool_people(known_scene.motion, known_scene.body, known_scene.camera, 800)
    shift = np.array([4.0, 0, 0])
    shifted = [replace(p, pelvis=p.pelvis + shift, joints=p.joints + shift) for p in people]
    write_wham(tmp_path / "wham.pkl", shifted)
    with pytest.raises(InputError, match="no person of the WHAM result matches"):
        begin(tmp_path / "wham.pkl", known_scene, NullProgress())


def test_the_lifter_improves_poses_that_are_off(known_scene, tmp_path: Path) -> None:
    """Wrong knees that the keypoints show are wide and come back; the expected uncertainty is one for all."""
    rotations = known_scene.motion.rotations.copy()
    turn = axis_angle_to_matrix(torch.tensor([0.0, 0.0, 0.8])).numpy()
    rotations[:, :, 4] = turn @ rotations[:, :, 4]
    wrong = known_scene.motion.with_pose(rotations=rotations)
    people = tool_people(wrong, known_scene.body, known_scene.camera, 800)
    write_wham(tmp_path / "wham.pkl", people)
    errors, stds = {}, {}
    for lifter in (False, True):
        _, motion, std = begin(tmp_path / "wham.pkl", known_scene, NullProgress(), lifter=lifter, iterations=60)
        joints = [motion_joints(one, known_scene.body)[:, :, :22] for one in (motion, known_scene.motion)]
        relative = [one - one[:, :, 1:2] for one in joints]  # From the left hip on.
        errors[lifter], stds[lifter] = np.linalg.norm(relative[0] - relative[1], axis=-1)[..., 7].mean(), std
    assert errors[True] < 0.7 * errors[False]
    assert np.ptp(stds[False].rotation_std) == 0 and np.ptp(stds[True].rotation_std) > 0.02
    assert np.median(stds[True].rotation_std) < initialize.ROTATION_STD
