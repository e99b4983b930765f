"""The split goes by names: no file moves another one, and nothing is on both sides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from closemesh.lab.datasets.registry import (
    TEST_CLIPS,
    TEST_KINDS,
    TEST_PAIRS,
    TEST_SUBJECTS,
    is_test_kind,
    is_test_motion,
    split_motion_files,
)
from closemesh.lab.synthesis.work_units import TEMPLATES_BY_NAME
from closemesh.motion_files.sequence import MotionSequence


def test_listed_clips_and_all_of_listed_subjects_are_held_out(tmp_path: Path) -> None:
    _touch(tmp_path / "pairs", [*TEST_PAIRS, "cmu_60_61_01"])
    learned = ["cmucc_05_13", "cmujump_127_07", "cmucc_033_01", "walk_03", "a_family_video"]
    held_out = ["cmucc_03_02", "cmujump_43_03", "cmujump_139_17", "cmujump_140_01", "cmujump_08_99"]
    _touch(tmp_path / "singles", [*TEST_CLIPS, *learned, *held_out])
    train, test = split_motion_files(tmp_path)
    assert {path.stem for path in train} == {*learned, "cmu_60_61_01"}
    assert {path.stem for path in test} == {*TEST_PAIRS, *TEST_CLIPS, *held_out}


def test_another_file_moves_no_file(tmp_path: Path) -> None:
    _touch(tmp_path / "singles", [*TEST_CLIPS, *(f"walk_{number:02}" for number in range(25))])
    train, test = split_motion_files(tmp_path)
    _touch(tmp_path, ["a_new_clip", "walk_005", "cmucc_05_125"])
    _touch(tmp_path / "singles", ["cmu_conv_test__walking_extra__walking_150", "zebra"])
    more_train, more_test = split_motion_files(tmp_path)
    assert more_test == test
    assert set(train) < set(more_train) and len(more_train) == len(train) + 5


def test_the_folder_and_the_suffix_do_not_matter() -> None:
    assert is_test_motion(Path("anywhere/cmu_60_61_03.bvh"))
    assert not is_test_motion(Path("pairs/cmu_60_61_04.npz"))
    assert not is_test_motion(Path("cmucc_03/other.npz"))
    assert is_test_motion(Path(f"{TEST_KINDS[0]}_00003_01.npz")) and not is_test_motion(Path("hug_00003_01.npz"))


@pytest.mark.parametrize("subject", TEST_SUBJECTS)
def test_a_subject_is_no_prefix_of_another(subject: str) -> None:
    assert is_test_motion(Path(f"{subject}_01.npz")) and not is_test_motion(Path(f"{subject}0_01.npz"))


def test_held_out_kinds_are_templates() -> None:
    assert set(TEST_KINDS) <= set(TEMPLATES_BY_NAME) and len(TEST_KINDS) >= 4


def test_the_kind_of_a_motion_is_its_action_without_notes() -> None:
    nothing = np.zeros((1, 1, 55, 3, 3))
    motion = MotionSequence("clip", 30.0, nothing, nothing[..., 0, 0], np.ones((1, 1), bool), np.ones((1, 55), bool))
    assert is_test_kind(replace(motion, action=f"{TEST_KINDS[0]} (slow)"))
    assert not is_test_kind(replace(motion, action="hug")) and not is_test_kind(replace(motion, action=""))


def _touch(folder: Path, names: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.npz").touch()
