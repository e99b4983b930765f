"""Outputs of SAM 3D Body: 70 keypoints of another body, without tracks, become motion of the body of closemesh."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from known_scenes import FOCAL, KnownScene, observe_exactly

from closemesh.body.motion import motion_keypoints
from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.body.skinning import posed_joints
from closemesh.config.schema import InitialiseConfig
from closemesh.core.arrays import Floats
from closemesh.core.errors import InputError
from closemesh.core.progress import NullProgress
from closemesh.geometry.camera import project
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.importers.initialize import import_initial_motion
from closemesh.importers.registry import read_imported_result
from closemesh.importers.sam3d_body import SAM3D_KEYPOINTS, read_sam3d_files
from closemesh.structures import BodyMotion

# As the published list of the 70 names has them.
PUBLISHED = {
    **{"nose": 0, "left_eye": 1, "right_ear": 4, "left_shoulder": 5, "right_elbow": 8, "left_hip": 9},
    **{"right_ankle": 14, "left_big_toe": 15, "left_heel": 17, "right_small_toe": 19, "right_wrist": 41},
    **{"right_hand_thumb4": 21, "right_hand_thumb1": 24, "right_hand_index4": 25, "right_hand_pinky3": 38},
    **{"left_hand_thumb4": 42, "left_hand_index1": 49, "left_hand_middle2": 52, "left_hand_ring4": 54},
    **{"left_wrist": 62},
}


def test_keypoint_indices_are_the_published_ones() -> None:
    assert {name: SAM3D_KEYPOINTS[KEYPOINT_INDEX[name]] for name in PUBLISHED} == PUBLISHED
    assert len(SAM3D_KEYPOINTS) == 17 + 6 + 40 and max(SAM3D_KEYPOINTS.values()) == 62


@pytest.fixture(scope="module")
def scene(known_scene: KnownScene) -> KnownScene:
    """People of other sizes; one clenches the left hand."""
    pose = known_scene.body.hand_mean.flatten(0, 1).numpy().copy()
    pose[:12, 2] -= 0.8
    rotations = known_scene.motion.rotations.copy()
    rotations[:, 0, 25:] = axis_angle_to_matrix(torch.as_tensor(pose)).numpy()
    betas = known_scene.motion.betas.copy()
    betas[:, :2] = [[1.0, -0.5], [-1.0, 0.5]]
    motion = known_scene.motion.with_pose(rotations=rotations, betas=betas)
    return replace(
        known_scene, motion=motion, observations=observe_exactly(motion, known_scene.camera, known_scene.body)
    )


def outputs(scene: KnownScene, focal: float, jumps: float = 0.0) -> list[list[dict[str, Any]]]:
    """Outputs of the tool, frame by frame; the order of people changes, and the focal length jumps."""
    points = motion_keypoints(scene.motion, scene.body)
    rng = np.random.default_rng(0)
    frames = []
    for t, pair in enumerate(points):
        noisy = focal * float(1 + jumps * rng.uniform(-1, 1))
        people = [_output(scene, person, noisy) for person in pair]
        frames.append(people[:: 1 if t % 3 else -1])
    return frames


def _output(scene: KnownScene, person: Floats, focal: float) -> dict[str, Any]:
    points = np.full((70, 3), 0.05, np.float32)
    points[list(SAM3D_KEYPOINTS.values())] = person[list(SAM3D_KEYPOINTS)]
    points[63:] = person[:7]  # Elbow tips and others without a counterpart.
    points[:, 2] += person[:, 2].mean() * (focal / FOCAL - 1)
    translation = points[[9, 10]].mean(0)
    pixels = project(torch.as_tensor(points), focal, scene.camera.principal_point).numpy()
    return {
        "bbox": np.array([*pixels.min(0), *pixels.max(0)], np.float32),
        "focal_length": np.float32(focal),
        "pred_keypoints_3d": points - translation,
        "pred_keypoints_2d": pixels,
        "pred_vertices": np.zeros((4, 3), np.float32),
        "pred_cam_t": translation.astype(np.float32),
        "shape_params": np.zeros(45, np.float32),
        "mask": None,
    }


def write_files(folder: Path, frames: list[list[dict[str, Any]]], first: int) -> Path:
    """One .npz per person and image, as in the repository of the tool's body."""
    folder.mkdir()
    for t, people in enumerate(frames):
        for k, person in enumerate(people):
            arrays = {name: value for name, value in person.items() if value is not None}
            np.savez(folder / f"frame_{t + first:06d}_subj{k:02d}.npz", **arrays)
    return folder


def write_pickle(path: Path, frames: list[list[dict[str, Any]]]) -> Path:
    path.write_bytes(pickle.dumps(frames))
    return path


def begin(path: Path, scene: KnownScene, progress: NullProgress) -> BodyMotion:
    config = InitialiseConfig(focal=FOCAL, iterations=3, lifter=False)
    cpu = torch.device("cpu")
    return import_initial_motion(path, scene.clip, scene.observations, scene.body, config, cpu, progress)[1]


def joint_errors(scene: KnownScene, motion: BodyMotion) -> Floats:
    """[T, P, 22] meters."""
    joints = []
    for one in (motion, scene.motion):
        values = (torch.as_tensor(x, dtype=torch.float32) for x in (one.betas, one.rotations, one.transl))
        joints.append(posed_joints(scene.body, *values)[..., :22, :].numpy())
    return np.linalg.norm(joints[0] - joints[1], axis=-1)


@pytest.mark.parametrize("first", [0, 1])
def test_files_of_single_images_become_two_people(scene: KnownScene, tmp_path: Path, first: int) -> None:
    result = read_imported_result(write_files(tmp_path / "out", outputs(scene, 700.0), first), scene.clip)
    assert result.tool == "SAM 3D Body" and result.camera is not None
    assert result.camera.focal == pytest.approx(700) and result.camera.principal_point == pytest.approx(
        scene.camera.principal_point, abs=1e-3
    )
    assert [person.frames.tolist() for person in result.people] == [list(range(12))] * 2
    for person in result.people:
        assert person.keypoints is not None
        pixels = project(torch.as_tensor(person.keypoints[:, :17]), 700.0, result.camera.principal_point).numpy()
        off = np.linalg.norm(pixels[:, None] - tool_pixels(scene, 700.0), axis=-1).max((0, 2))
        assert off.min() < 0.05, "the same pixels as the tool's"


def tool_pixels(scene: KnownScene, focal: float) -> Floats:
    """[T, P, 17, 2] pixels in the tool's camera."""
    points = motion_keypoints(scene.motion, scene.body)
    points[..., 2] += points[..., 2].mean(-1, keepdims=True) * (focal / FOCAL - 1)
    return project(torch.as_tensor(points[:, :, :17]), focal, scene.camera.principal_point).numpy()


def test_the_body_fits_the_keypoints(scene: KnownScene, tmp_path: Path) -> None:
    progress = NullProgress()
    motion = begin(write_pickle(tmp_path / "clip.pkl", outputs(scene, FOCAL)), scene, progress)
    assert motion.valid.all() and not any("own first pose" in note for note in progress.notes)
    errors = joint_errors(scene, motion)
    assert errors.mean() < 0.012 and errors.max() < 0.05
    tips = [KEYPOINT_INDEX[f"left_hand_{finger}4"] for finger in ("index", "middle", "ring", "pinky")]
    found, truth = (motion_keypoints(one, scene.body)[:, 0, tips] for one in (motion, scene.motion))
    assert np.linalg.norm(found - truth, axis=-1).mean() < 0.015
    assert np.median(np.abs(motion.betas[:, 0] - scene.motion.betas[:, 0])) < 0.4


def test_focal_lengths_that_jump_do_not_move_people_in_depth(
    scene: KnownScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("closemesh.importers.body_fitting.STEPS", (20, 1))
    motion = begin(write_pickle(tmp_path / "clip.pkl", outputs(scene, FOCAL, jumps=0.2)), scene, NullProgress())
    depth = motion.transl[:, 1, 2] - scene.motion.transl[:, 1, 2]
    assert np.ptp(depth) < 0.15, "person 1 stands still; 20 % of 4 m are 0.8 m"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"pred_keypoints_3d": np.zeros((308, 3), np.float32)}, r"pred_keypoints_3d must be \[70, 3\]"),
        ({"focal_length": np.float32(0)}, "no focal length"),
        ({"pred_cam_t": np.array([0, 0, -5], np.float32)}, "behind the camera"),
        ({"pred_cam_t": np.array([0, 0, np.nan], np.float32)}, "not finite"),
    ],
)
def test_damaged_outputs_are_one_error_line(
    scene: KnownScene, tmp_path: Path, fault: dict[str, Any], message: str
) -> None:
    frames = outputs(scene, FOCAL)
    frames[3][0] |= fault
    with pytest.raises(InputError, match=message) as caught:
        read_imported_result(write_pickle(tmp_path / "clip.pkl", frames), scene.clip)
    assert "\n" not in str(caught.value)


def test_files_without_a_frame_in_their_names(scene: KnownScene, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "out", outputs(scene, FOCAL)[:1], 0)
    next(iter(folder.iterdir())).rename(folder / "img_subj00.npz")
    with pytest.raises(InputError, match="no frame number in its name; name the files like"):
        read_imported_result(folder, scene.clip)


@pytest.mark.parametrize("damage", ["truncated", "flipped bytes"])
def test_a_damaged_file_among_many_is_one_error_line(scene: KnownScene, tmp_path: Path, damage: str) -> None:
    folder = write_files(tmp_path / "out", outputs(scene, FOCAL)[:2], 0)
    last = sorted(folder.iterdir())[-1]
    content = last.read_bytes()
    middle = len(content) // 2
    flipped = content[: middle - 200] + bytes(255 - byte for byte in content[middle - 200 : middle])
    last.write_bytes(content[:middle] if damage == "truncated" else flipped + content[middle:])
    with pytest.raises(InputError, match=rf"{last.name} cannot be read") as caught:
        read_sam3d_files(sorted(folder.iterdir()), scene.clip)
    assert "\n" not in str(caught.value)
