"""Two motions from files: paired in time, people and place."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from known_scenes import KnownScene
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from closemesh.cli.main import app
from closemesh.core.errors import InputError
from closemesh.core.progress import NullProgress
from closemesh.lab.datasets.recording import write_pose_file
from closemesh.lab.evaluation.evaluate import PosedMotion, evaluate, match_people, pair_times, read_sequence
from closemesh.motion_files.sequence import from_body_motion
from closemesh.output.people import write_people


@pytest.fixture(scope="module")
def motion(known_scene: KnownScene) -> PosedMotion:
    return PosedMotion(known_scene.motion, known_scene.body, known_scene.clip.times, known_scene.camera)


@pytest.fixture(scope="module")
def people(known_scene: KnownScene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Person files of the known scene."""
    folder = tmp_path_factory.mktemp("truth") / "people"
    write_people(folder, known_scene.clip, known_scene.camera, known_scene.motion, known_scene.body)
    return folder


def values_of(predicted: PosedMotion, truth: PosedMotion, **options: bool) -> tuple[dict[str, float], list[str]]:
    progress = NullProgress()
    return evaluate(predicted, truth, progress, cheap=True, **options), progress.notes


def test_a_motion_is_itself_through_its_files(motion: PosedMotion, people: Path) -> None:
    read = read_sequence(people, None, NullProgress())
    values, notes = values_of(read, motion)
    assert values["MPJPE"] < 0.05
    assert values["Inter"] < 0.05
    assert "PCDR" not in values
    assert "world" in notes[0]


def test_in_the_camera_frame_depth_is_measured(motion: PosedMotion) -> None:
    values, notes = values_of(motion, motion)
    assert values["root-depth"] == 0
    assert values["PCDR"] == 100
    assert notes == []


def test_another_world_needs_alignment(motion: PosedMotion) -> None:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = Rotation.from_rotvec([0.1, 2.0, -0.2]).as_matrix(), [3, 1, -2]
    elsewhere = motion.in_world().moved(T)
    assert values_of(elsewhere, motion)[0]["MPJPE"] > 100
    assert values_of(elsewhere, motion, align=True)[0]["MPJPE"] < 0.05


@pytest.mark.parametrize("align", [False, True])
def test_people_are_matched_by_place(motion: PosedMotion, align: bool) -> None:
    values, notes = values_of(motion.people([1, 0]), motion, align=align)
    assert values["Inter"] < 0.05
    assert "[1, 0]" in notes[0]


@pytest.mark.parametrize("side", ["predicted", "true"])
def test_a_person_is_missing(motion: PosedMotion, side: str) -> None:
    pair = (motion.people([1]), motion) if side == "predicted" else (motion, motion.people([1]))
    values, notes = values_of(*pair)
    assert values["MPJPE"] < 0.05
    assert "Inter" not in values
    assert any("[1]" in note for note in notes)


def test_half_the_rate_uses_every_second_frame(motion: PosedMotion) -> None:
    values, notes = values_of(motion.frames(np.arange(0, 12, 2)), motion)
    assert values["MPJPE"] < 0.05
    assert values["Accel"] < 0.05
    assert "6 frames compared of 6 and 12" in notes[0]


def test_times_are_paired_at_the_lower_rate() -> None:
    slow, fast = np.arange(5) / 25, 0.06 + np.arange(12) / 60
    for first, second in (pair_times(slow, fast), pair_times(fast, slow)[::-1]):
        assert np.abs(slow[first] - fast[second]).max() <= 1 / 120 + 1e-6
        assert first.tolist() == [2, 3, 4]
    assert len(pair_times(slow, slow + 10)[0]) == 0


def test_no_common_moment(motion: PosedMotion) -> None:
    with pytest.raises(InputError, match="no time in common"):
        values_of(replace(motion, times=motion.times + 100), motion)


def test_no_person_in_common(motion: PosedMotion) -> None:
    absent = replace(motion.motion, valid=np.zeros_like(motion.motion.valid))
    with pytest.raises(InputError, match="no person is valid"):
        values_of(replace(motion, motion=absent), motion)


def test_matching_bears_people_who_are_absent() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(4, 2, 14, 3))
    predicted = np.stack([truth[:, 1] + 0.1, truth[:, 0] + 9, truth[:, 0]], axis=1)
    predicted[1, 2] = np.nan
    assert match_people(predicted, truth) == [2, 0]


def test_motion_files_without_shape_are_put_on_the_mean_body(motion: PosedMotion, tmp_path: Path) -> None:
    sequence = from_body_motion(motion.in_world().motion, motion.body, "waves", 30.0)
    write_pose_file(tmp_path / "waves.npz", sequence)
    progress = NullProgress()
    read = read_sequence(tmp_path / "waves.npz", None, progress)
    assert "mean shape" in progress.notes[0]
    assert values_of(read, motion, align=True)[0]["MPJPE"] < 5  # Another mesh of the same skeleton.


def test_the_command(people: Path, tmp_path: Path) -> None:
    report = tmp_path / "values.json"
    result = CliRunner().invoke(app, ["evaluate", str(people), str(people), "--no-meshes", "--json", str(report)])
    assert result.exit_code == 0, result.output
    values = json.loads(report.read_text())
    assert values["MPJPE"] == pytest.approx(0, abs=1e-3)
    assert all(name in result.output for name in values)


def test_bad_files_are_reported_in_one_line(people: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.npz").write_text("no motion")
    (tmp_path / "empty").mkdir()
    for bad, expected in (("gone", "no such file"), ("notes.npz", "damaged"), ("empty", "data set")):
        result = CliRunner().invoke(app, ["evaluate", str(tmp_path / bad), str(people)])
        assert result.exit_code == 1
        assert expected in result.output
        assert result.output.count("\n") == 1
