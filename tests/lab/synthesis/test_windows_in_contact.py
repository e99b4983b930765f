"""Windows from solved key poses: contact, depth and motion, measured by other means than those that made them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from standing import standing_sources
from standing_motion import standing_motion

from closemesh.body.loading import load_bundled_body
from closemesh.contact.measure import measure_contacts
from closemesh.core.progress import NullProgress
from closemesh.lab.datasets.recording import read_pose_file
from closemesh.lab.synthesis.captured_clips import WalkLibrary, make_clips
from closemesh.lab.synthesis.key_pose_solver import solve_key_poses
from closemesh.lab.synthesis.key_poses import KeyPoses
from closemesh.lab.synthesis.quality_checks import Tolerances, joint_motion
from closemesh.lab.synthesis.windows import MIN_LENGTH, Window, load_bodies, make_windows
from closemesh.lab.synthesis.work_units import TEMPLATES_BY_NAME, write_window
from closemesh.motion_files.sequence import to_body_motion

BODIES = load_bodies()


@pytest.fixture(scope="module")
def key_poses() -> KeyPoses:
    generator = torch.Generator().manual_seed(0)
    solved = solve_key_poses(TEMPLATES_BY_NAME["fist_bump"], standing_sources(), BODIES.light, 4, generator)
    return solved.where(solved.accepted)


def make(key_poses: KeyPoses) -> Iterator[Window]:
    clips = make_clips([standing_motion()])
    return make_windows(key_poses, clips, WalkLibrary(clips.values()), BODIES, torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def windows(key_poses: KeyPoses) -> list[Window]:
    return list(make(key_poses))


@pytest.fixture(scope="module")
def good(windows: list[Window]) -> list[Window]:
    return [window for window in windows if not window.faults]


def test_most_key_poses_become_windows(windows: list[Window], good: list[Window]) -> None:
    assert len(good) >= max(len(windows) // 2, 1)
    for window in good:
        assert MIN_LENGTH <= len(window.motion) <= 150
        assert window.contact.any()


def test_a_written_window_touches_in_contact_and_never_penetrates(good: list[Window], tmp_path: Path) -> None:
    write_window(tmp_path / "window.npz", good[0], "test")
    sequence = read_pose_file(tmp_path / "window.npz")
    assert sequence.synthetic
    assert sequence.action == "fist_bump"
    body = load_bundled_body("light")
    motion = to_body_motion(sequence, body, sequence.betas)
    (contacts,) = measure_contacts(motion, body, NullProgress())
    with np.load(tmp_path / "window.npz") as file:
        held = file["contact"]
        assert file["anchors"].shape[1] == 2
        assert file["touches"].shape == (len(file["anchors"]), 2)
    assert contacts.distance[held].max() <= Tolerances.contact_error
    assert contacts.depth.max() <= Tolerances.depth + 1e-4
    assert contacts.distance[~held].max() > 0.05


def test_windows_do_not_jump(good: list[Window]) -> None:
    for window in good:
        joints = window.motion.skin(BODIES.soles)[1][:, :, :22]
        speed, acceleration = joint_motion(joints)
        assert speed.max() < Tolerances.speed
        assert acceleration.max() < Tolerances.acceleration


def test_the_same_seed_makes_the_same_window(key_poses: KeyPoses, windows: list[Window]) -> None:
    first = next(make(key_poses))
    assert torch.equal(first.motion.rotations, windows[0].motion.rotations)
    assert torch.equal(first.motion.pelvis, windows[0].motion.pelvis)
