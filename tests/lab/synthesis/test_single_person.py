"""Synthetic postures rest on the floor or the seat, and so do their windows."""

from __future__ import annotations

import pytest
import torch
from random_pair import generator
from standing import standing_sources

from closemesh.body.loading import load_bundled_body
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.body.skinning import rest_joints, skin
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.lab.datasets.registry import read_motion
from closemesh.lab.synthesis.quality_checks import DEFAULT_TOLERANCES
from closemesh.lab.synthesis.single_person import Postures, make_posture_windows, solve_postures
from closemesh.lab.synthesis.windows import load_bodies
from closemesh.lab.synthesis.work_units import write_window


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


def test_unknown_postures_and_missing_sources_are_refused():
    with pytest.raises(KeyError):
        solve_postures("floating", 1, generator())
    with pytest.raises(ValueError, match="sources"):
        solve_postures("reaching_up", 1, generator())


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
        assert window.motion.rotations.diff(dim=0).abs().max() > 0  # Idle motion.


def test_posture_windows_are_written_as_synthetic_single_people(tmp_path):
    _, windows = make_posture_windows(
        "kneeling", 1, standing_sources(4), load_bodies(), generator(), DEFAULT_TOLERANCES
    )
    window = next(windows)
    write_window(tmp_path / "kneeling.npz", window, "")
    read = read_motion(tmp_path / "kneeling.npz")
    assert read.num_people == 1 and read.synthetic and read.action == "kneeling"
    assert len(read) == len(window.motion)
