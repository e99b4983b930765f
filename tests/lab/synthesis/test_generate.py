"""Sets of windows: resuming, several processes, separate splits, refused input, the log of work units."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from standing_motion import standing_motion, write_standing_motion

from closemesh.core.errors import InputError
from closemesh.core.progress import NullProgress
from closemesh.lab.datasets.recording import write_pose_file
from closemesh.lab.datasets.registry import TEST_CLIPS
from closemesh.lab.synthesis.generate import InteractionsConfig, make_interactions
from closemesh.lab.synthesis.work_units import WorkUnitResult, load_assets, read_result, report_by_kind, write_result


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_standing_motion(folder, 11)
    held_out = standing_motion(TEST_CLIPS[0], seed=11)
    write_pose_file(folder / "singles" / f"{held_out.name}.npz", held_out)
    return folder


def digests(out: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted((out / "windows").iterdir())}


def non_contact(count: int, jobs: int = 1) -> InteractionsConfig:
    return InteractionsConfig(count, kinds=("fist_bump",), non_contact=1.0, jobs=jobs)


def test_a_set_resumes_and_does_not_depend_on_the_number_of_processes(data: Path, tmp_path: Path) -> None:
    (made,) = make_interactions(data, tmp_path / "one", non_contact(1), NullProgress())
    assert made.kind == "apart"
    before = digests(tmp_path / "one")
    written = {file: file.stat().st_mtime_ns for file in (tmp_path / "one" / "windows").iterdir()}
    make_interactions(data, tmp_path / "one", non_contact(4), NullProgress())
    after = digests(tmp_path / "one")
    assert before.items() <= after.items()
    assert len(after) >= 4
    assert all(file.stat().st_mtime_ns == time for file, time in written.items())
    make_interactions(data, tmp_path / "two", non_contact(4, jobs=2), NullProgress())
    assert digests(tmp_path / "two") == after


def test_non_contact_pairs_are_never_in_contact(data: Path, tmp_path: Path) -> None:
    from closemesh.body.loading import load_bundled_body
    from closemesh.contact.measure import ContactConfig, measure_contacts
    from closemesh.lab.datasets.recording import read_pose_file
    from closemesh.motion_files.sequence import to_body_motion

    make_interactions(data, tmp_path, non_contact(1), NullProgress())
    sequence = read_pose_file(next((tmp_path / "windows").iterdir()))
    body = load_bundled_body("light")
    motion = to_body_motion(sequence, body, sequence.betas)
    measured = measure_contacts(motion, body, NullProgress(), ContactConfig(near_distance=0.05))
    assert not measured
    with np.load(next((tmp_path / "windows").iterdir())) as file:
        assert not file["contact"].any()


def test_test_split_motion_is_used_for_the_test_set_only(data: Path) -> None:
    train, held_out = (set(load_assets(data, split, "cpu").clips) for split in ("train", "held_out"))
    assert held_out == {TEST_CLIPS[0]}
    assert len(train) == 11
    assert not train & held_out


def test_bad_input_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown kind 'wrestle'"):
        make_interactions(data, tmp_path / "a", InteractionsConfig(1, kinds=("wrestle",)), NullProgress())
    with pytest.raises(InputError, match="no folder"):
        make_interactions(data / "none", tmp_path / "b", non_contact(1), NullProgress())
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "interactions.json").write_text('{"seed": 7, "split": "train"}')
    with pytest.raises(InputError, match="other settings"):
        make_interactions(data, tmp_path / "c", non_contact(1), NullProgress())


def test_the_report_sums_units(tmp_path: Path) -> None:
    first = WorkUnitResult(
        "hug", 0, 8, 6, 6, ("a.npz", "b.npz"), (0.002, 0.004), (0.001, 0.003), (0.005, 0.009), {"depth": 4}
    )
    second = WorkUnitResult("hug", 1, 8, 2, 2, (), (), (), (), {"depth": 1, "speed": 1})
    write_result(tmp_path / "hug_00000.json", first)
    assert read_result(tmp_path / "hug_00000.json") == first
    (kind,) = report_by_kind([first, second])
    assert (kind.attempts, kind.key_poses, kind.tried, kind.accepted, kind.rate) == (16, 8, 8, 2, 0.25)
    assert (kind.mean_contact_error, kind.worst_contact_error, kind.deepest) == (0.002, 0.004, 0.009)
    assert kind.faults == {"depth": 5, "speed": 1}
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        read_result(tmp_path / "bad.json")
