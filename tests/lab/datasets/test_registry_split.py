"""The split does not move and nothing is on both sides."""

from __future__ import annotations

from closemesh.lab.datasets.registry import split_motion_files


def test_two_pairs_and_each_tenth_single_are_held_out(tmp_path):
    (tmp_path / "pairs").mkdir()
    (tmp_path / "singles").mkdir()
    for trial in (1, 3, 13):
        (tmp_path / "pairs" / f"cmu_60_61_{trial:02}.npz").touch()
    for number in range(25):
        (tmp_path / "singles" / f"walk_{number:02}.npz").touch()
    learn, held_out = split_motion_files(tmp_path)
    assert {path.stem for path in held_out} == {"cmu_60_61_03", "cmu_60_61_13", "walk_09", "walk_19"}
    assert not set(learn) & set(held_out) and len(learn) + len(held_out) == 28
