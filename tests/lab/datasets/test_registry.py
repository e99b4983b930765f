"""The one door: every kind of motion file is known by itself and found below a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dataset_files import known_pair, write_chi3d, write_hi4d, write_threedpw
from known_scenes import KnownScene

from closemesh.body.loading import load_bundled_body
from closemesh.core.errors import InputError
from closemesh.lab.datasets.bvh import write_bvh
from closemesh.lab.datasets.recording import write_pose_file
from closemesh.lab.datasets.registry import find_motions, read_motion, split_motion_files
from closemesh.motion_files.amass import write_amass
from closemesh.motion_files.sequence import MotionSequence, from_body_motion
from closemesh.output.people import write_people


def write_all(folder: Path, scene: KnownScene) -> MotionSequence:
    """One of nearly everything that can be read, in folders of their own."""
    body, pair = load_bundled_body("light"), known_pair()
    sequence = from_body_motion(scene.motion, body, "made up", 30)
    write_pose_file(folder / "own.npz", sequence)
    write_amass(folder / "amass.npz", sequence, body)
    write_bvh(folder / "moves" / "person.bvh", sequence, body)
    write_hi4d(folder / "hi4d" / "pair23" / "fight23", pair)
    write_threedpw(folder / "3dpw", pair)
    write_chi3d(folder / "chi3d" / "train" / "s03", pair)
    write_people(folder / "result" / "people", scene.clip, scene.camera, scene.motion, scene.body)
    (folder / "result" / "scene.json").touch()
    (folder / "result" / "observations.npz").touch()
    (folder / "notes.txt").touch()
    return sequence


def test_everything_is_found_once_and_read(tmp_path: Path, known_scene: KnownScene) -> None:
    sequence = write_all(tmp_path, known_scene)
    found = find_motions(tmp_path)
    names = ["Hug 1.json", "amass.npz", "downtown_hug_00.pkl", "fight23", "own.npz", "person.bvh", "result"]
    assert [path.name for path in found] == names
    people = {path.name: read_motion(path).num_people for path in found}
    assert people == dict(zip(names, [2, 1, 2, 2, 2, 1, 2], strict=True))
    own, alone = read_motion(tmp_path / "own.npz"), read_motion(tmp_path / "amass.npz")
    np.testing.assert_allclose(own.pelvis, sequence.pelvis, atol=1e-5)
    np.testing.assert_allclose(alone.pelvis[:, 0], sequence.pelvis[:, 0], atol=1e-5)
    assert alone.body_model == sequence.body_model


def test_what_is_no_motion_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("words")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "cut.npz").write_text("no archive")
    np.savez(tmp_path / "else.npz", something=np.zeros(3))
    for name in ("words.txt", "empty", "other.json", "cut.npz", "else.npz", "missing.npz", "missing.bvh"):
        with pytest.raises(InputError, match=name):
            read_motion(tmp_path / name)


def test_the_split_takes_all_kinds_of_files(tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir()
    for name in ("pairs/cmu_60_61_03.bvh", "cmucc_03_02.amc", "walk_1.npz", "walk_2.amc"):
        (tmp_path / name).touch()
    learn, held_out = split_motion_files(tmp_path)
    assert [path.name for path in held_out] == ["cmu_60_61_03.bvh", "cmucc_03_02.amc"] and len(learn) == 2
