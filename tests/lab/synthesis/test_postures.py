"""Synthetic postures rest on what they should, and captured ones are chosen from people who stand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from standing import standing_sources

from closemesh.body.loading import load_bundled_body
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.body.skinning import rest_joints, skin
from closemesh.core.errors import InputError
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.lab.datasets.registry import read_motion
from closemesh.lab.synthesis.key_poses import find_source_poses, take_heading_out
from closemesh.lab.synthesis.quality_checks import DEFAULT_TOLERANCES
from closemesh.lab.synthesis.single_person import Postures, make_posture_windows, solve_postures
from closemesh.lab.synthesis.windows import load_bodies
from closemesh.lab.synthesis.work_units import write_window
from closemesh.motion_files.sequence import MotionSequence, body_rotations


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def posed(postures: Postures) -> tuple[torch.Tensor, torch.Tensor]:
    """Vertices and joints on the full body."""
    body = load_bundled_body("std")
    face = torch.zeros(len(postures), 3, 3)
    pose = torch.cat([postures.root[:, None], postures.body_pose, face, postures.hand_pose], dim=1)
    transl = postures.pelvis - rest_joints(body, postures.betas)[:, 0]
    return skin(body, postures.betas, axis_angle_to_matrix(pose), transl)


@pytest.mark.parametrize(("kind", "pelvis_height"), [("kneeling", (0.35, 0.6)), ("floor_sitting", (0.05, 0.2))])
def test_synthetic_postures_rest_on_the_floor(kind: str, pelvis_height: tuple[float, float]):
    solved = solve_postures(kind, 4, generator())
    assert solved.accepted.all()
    vertices, joints = posed(solved)
    assert (vertices[..., 1].amin(-1).abs() < 0.03).all()
    height = joints[:, 0, 1]
    assert ((height > pelvis_height[0]) & (height < pelvis_height[1])).all()
    assert (joints[:, JOINT_INDEX["head"], 1] > height + 0.35).all()


def test_a_seat_holds_the_body_at_its_height():
    solved = solve_postures("chair_sitting", 4, generator())
    knees = posed(solved)[1][:, [JOINT_INDEX["left_knee"], JOINT_INDEX["right_knee"]], 1]
    assert solved.accepted.all() and ((solved.pelvis[:, 1] > 0.4) & (solved.pelvis[:, 1] < 0.7)).all()
    assert (knees > 0.35).all()


def test_postures_that_are_none_or_lack_sources_are_refused():
    with pytest.raises(KeyError):
        solve_postures("floating", 1, generator())
    with pytest.raises(ValueError, match="sources"):
        solve_postures("reaching_up", 1, generator())


def sequence(poses: np.ndarray) -> MotionSequence:
    rotations, known = body_rotations(poses[:, None])
    frames = len(poses)
    return MotionSequence("made", 30.0, rotations, np.zeros((frames, 1, 3)), np.ones((frames, 1), bool), known)


def full_pose(yaw: float, tilt: float = 0.0, knee: float = 0.0) -> np.ndarray:
    pose = np.zeros((22, 3))
    pose[0] = [tilt, 0, 0] if tilt else [0, yaw, 0]
    pose[1:] = standing_sources(1).body_pose[0].numpy()
    pose[JOINT_INDEX["left_knee"], 0] = knee
    return pose


def test_standing_poses_are_found_whatever_way_they_look():
    poses = np.stack([full_pose(2.0), full_pose(-1.0), full_pose(0, tilt=1.5), full_pose(0, knee=1.2)])
    found = find_source_poses([sequence(poses)], spacing=1 / 30)
    assert found.frames == (("made", 0), ("made", 1))
    assert found.root.abs().max() < 1e-4
    expected = torch.tensor(poses[:2, 1:], dtype=torch.float32)
    assert torch.allclose(found.body_pose, expected, atol=1e-4)


def test_nobody_standing_is_an_error():
    with pytest.raises(InputError, match="no captured pose"):
        find_source_poses([sequence(np.stack([full_pose(0, tilt=1.5)]))])


def test_heading_is_taken_out_and_tilt_kept():
    R = axis_angle_to_matrix(torch.tensor([[0.0, 1.3, 0.0]])) @ axis_angle_to_matrix(torch.tensor([[0.2, 0.0, 0.1]]))
    level = take_heading_out(R)
    assert level[0, 0, 2].abs() < 1e-6 and level[0, 2, 2] > 0
    assert torch.allclose(level[0, 1], R[0, 1], atol=1e-6)  # Where "up" lies in the body does not change.


@pytest.mark.parametrize("kind", ["kneeling", "lying_on_back", "reaching_up"])
def test_posture_windows_rest_on_the_floor_and_move_calmly(kind: str):
    bodies = load_bodies()
    found, windows = make_posture_windows(kind, 4, standing_sources(4), bodies, generator(), DEFAULT_TOLERANCES)
    windows = list(windows)
    assert found == len(windows) > 0
    for window in windows:
        assert not window.faults and window.kind == kind and not window.contact.any()
        assert window.motion.pelvis.shape[1] == 1
        lowest = window.motion.skin(bodies.light)[0][..., 1].amin((1, 2))
        assert lowest.abs().max() < 0.02
        assert window.motion.rotations.diff(dim=0).abs().max() > 0  # Nobody is a statue.


def test_posture_windows_are_written_as_synthetic_single_people(tmp_path):
    _, windows = make_posture_windows(
        "kneeling", 1, standing_sources(4), load_bodies(), generator(), DEFAULT_TOLERANCES
    )
    window = next(windows)
    write_window(tmp_path / "kneeling.npz", window, "")
    read = read_motion(tmp_path / "kneeling.npz")
    assert read.num_people == 1 and read.synthetic and read.action == "kneeling"
    assert len(read) == len(window.motion)
