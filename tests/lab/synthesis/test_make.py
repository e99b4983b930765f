"""Sets of windows: resumable, the same however many processes work, held-out motion kept apart, bad input told."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from standing_motion import write_standing_motion

from closemesh.core.errors import InputError
from closemesh.core.progress import NullProgress
from closemesh.lab.synthesis.generate import InteractionsConfig, make_interactions
from closemesh.lab.synthesis.work_units import WorkUnitResult, load_materials, load_unit, report, save_unit


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_standing_motion(folder, 12)
    return folder


def digests(out: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted((out / "windows").iterdir())}


def apart(count: int, jobs: int = 1) -> InteractionsConfig:
    return InteractionsConfig(count, kinds=("fist_bump",), negatives=1.0, jobs=jobs)


def test_a_set_goes_on_where_it_stopped_and_does_not_depend_on_the_processes(data: Path, tmp_path: Path) -> None:
    (made,) = make_interactions(data, tmp_path / "one", apart(1), NullProgress())
    assert made.kind == "apart"
    before = digests(tmp_path / "one")
    written = {file: file.stat().st_mtime_ns for file in (tmp_path / "one" / "windows").iterdir()}
    make_interactions(data, tmp_path / "one", apart(4), NullProgress())
    after = digests(tmp_path / "one")
    assert before.items() <= after.items()
    assert len(after) >= 4
    assert all(file.stat().st_mtime_ns == time for file, time in written.items())
    make_interactions(data, tmp_path / "two", apart(4, jobs=2), NullProgress())
    assert digests(tmp_path / "two") == after


def test_people_apart_stay_apart(data: Path, tmp_path: Path) -> None:
    from closemesh.body.loading import load_bundled_body
    from closemesh.contact.measure import ContactConfig, measure_contacts
    from closemesh.lab.datasets.recording import read_pose_file
    from closemesh.motion_files.sequence import to_body_motion

    make_interactions(data, tmp_path, apart(1), NullProgress())
    sequence = read_pose_file(next((tmp_path / "windows").iterdir()))
    body = load_bundled_body("light")
    motion = to_body_motion(sequence, body, sequence.betas)
    measured = measure_contacts(motion, body, NullProgress(), ContactConfig(near_distance=0.05))
    assert not measured
    with np.load(next((tmp_path / "windows").iterdir())) as file:
        assert not file["contact"].any()


def test_held_out_motion_is_used_for_the_held_out_set_alone(data: Path) -> None:
    train, held_out = (set(load_materials(data, split, "cpu").clips) for split in ("train", "held_out"))
    assert len(held_out) == 1
    assert len(train) == 11
    assert not train & held_out


def test_bad_input_is_told(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown kind 'wrestle'"):
        make_interactions(data, tmp_path / "a", InteractionsConfig(1, kinds=("wrestle",)), NullProgress())
    with pytest.raises(InputError, match="no folder"):
        make_interactions(data / "none", tmp_path / "b", apart(1), NullProgress())
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "interactions.json").write_text('{"seed": 7, "split": "train"}')
    with pytest.raises(InputError, match="other settings"):
        make_interactions(data, tmp_path / "c", apart(1), NullProgress())


def test_the_report_adds_units_up(tmp_path: Path) -> None:
    first = WorkUnitResult(
        "hug", 0, 8, 6, 6, ("a.npz", "b.npz"), (0.002, 0.004), (0.001, 0.003), (0.005, 0.009), {"depth": 4}
    )
    second = WorkUnitResult("hug", 1, 8, 2, 2, (), (), (), (), {"depth": 1, "speed": 1})
    save_unit(tmp_path / "hug_00000.json", first)
    assert load_unit(tmp_path / "hug_00000.json") == first
    (kind,) = report([first, second])
    assert (kind.attempts, kind.key_poses, kind.tried, kind.accepted, kind.rate) == (16, 8, 8, 2, 0.25)
    assert (kind.mean_contact_error, kind.worst_contact_error, kind.deepest) == (0.002, 0.004, 0.009)
    assert kind.faults == {"depth": 5, "speed": 1}
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        load_unit(tmp_path / "bad.json")
