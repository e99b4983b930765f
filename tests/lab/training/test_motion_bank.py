"""Training and validation motion: the test split is in neither, relatives are on one side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from closemesh.core.progress import NullProgress
from closemesh.lab.datasets.recording import write_pose_file
from closemesh.lab.datasets.registry import TEST_KINDS
from closemesh.lab.training.motion_bank import CHECK_EVERY, family_of, load_datasets, validation_files
from closemesh.motion_files.sequence import MotionSequence, body_rotations


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("hug_00003_00", "hug_00003_01"),
        ("cmucc_05_01", "cmucc_05_20"),
        ("cmu_conv_train__walking_extra__walking_13", "cmu_conv_test__walking_extra__walking_20"),
    ],
)
def test_relatives_have_one_family(one: str, other: str) -> None:
    assert family_of(one) == family_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("hug_00003_00", "hug_00004_00"), ("cmucc_05_01", "cmucc_06_01"), ("cmujump_13_11", "cmucc_13_11")],
)
def test_others_have_other_families(one: str, other: str) -> None:
    assert family_of(one) != family_of(other)


def test_windows_of_a_unit_are_on_one_side() -> None:
    names = [f"{kind}_{unit:05}_{window:02}" for kind in ("hug", "kick") for unit in range(30) for window in range(5)]
    chosen = validation_files(names)
    assert 0.8 < len(chosen) * CHECK_EVERY / len(names) <= 1
    checked = {family_of(names[index]) for index in chosen}
    assert all((family_of(name) in checked) == (index in chosen) for index, name in enumerate(names))


def test_a_large_family_stays_in_training() -> None:
    names = [f"walk_{clip}" for clip in range(50)] + ["run_1", "run_2", "jump_1"]
    assert {names[index] for index in validation_files(names)} <= {"run_1", "run_2", "jump_1"}


def test_one_family_is_split_by_clip_and_one_file_is_for_training() -> None:
    assert len(validation_files([f"cmu_60_61_{trial:02}" for trial in range(9)])) == 1
    assert validation_files(["cmu_60_61_01"]) == set() == validation_files([])


def test_windows_of_held_out_kinds_are_read_into_neither_side(tmp_path: Path) -> None:
    data, windows = tmp_path / "data", tmp_path / "windows"
    _write(data / "a_01.npz", 1), _write(data / "b_01.npz", 1)
    _write(windows / "hug_00000_00.npz", 2, "hug"), _write(windows / "hug_00001_00.npz", 2, "hug")
    _write(windows / "renamed_1.npz", 2, TEST_KINDS[0]), _write(windows / f"{TEST_KINDS[0]}_00000_00.npz", 2)
    learn, check = load_datasets(data, windows, NullProgress())
    assert len(learn.interactions.length) + len(check.interactions.length) == 2


def _write(path: Path, people: int, action: str = "") -> None:
    path.parent.mkdir(exist_ok=True)
    rotations, known = body_rotations(np.zeros((30, people, 22, 3), np.float32))
    pelvis, valid = np.zeros((30, people, 3), np.float32), np.ones((30, people), bool)
    motion = MotionSequence(path.stem, 30.0, rotations, pelvis, valid, known)
    write_pose_file(path, replace(motion, action=action))
