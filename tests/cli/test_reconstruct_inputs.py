"""`reconstruct` straight on another body, and from another tool's result."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from stand_in_body import write_smplx_stand_in
from typer.testing import Result

from closemesh.body.loading import load_body
from closemesh.output.people import read_people

Images = list[np.ndarray]
MakeClip = Callable[..., Path]
Command = Callable[..., Result]


def test_a_body_of_other_proportions_goes_straight_through(
    command: Command, make_clip: MakeClip, frames: Images, tmp_path: Path
) -> None:
    file = write_smplx_stand_in(tmp_path / "SMPLX_NEUTRAL.npz")
    ended = command(make_clip(frames[:3]), "--body-model", str(file), "--people", "2", "--no-prior")
    assert ended.exit_code == 0, ended.stderr
    people = read_people(tmp_path / "out" / "people")
    assert {(person.surface_model_type, person.body_model) for person in people} == {("smplx", "smplx/SMPLX_NEUTRAL")}
    assert all(person.body_model_sha256 == load_body(file).sha256 for person in people)
    assert all(np.isfinite(person.joints).all() for person in people)


def test_a_result_is_started_from_again(command: Command, make_clip: MakeClip, frames: Images, tmp_path: Path) -> None:
    clip, options = make_clip(frames[:3]), ("--people", "2", "--no-prior")
    assert command(clip, *options).exit_code == 0
    given = tmp_path / "given"
    shutil.copytree(tmp_path / "out" / "people", given)  # Person files are AMASS-style files.
    ended = command(clip, *options, "--init", str(given))
    assert ended.exit_code == 0, ended.stderr
    assert "start from AMASS" in ended.stderr and "observe: from the cache" in ended.stderr
    scene = json.loads((tmp_path / "out" / "scene.json").read_text())
    assert scene["config"]["initialise"]["init"] == str(given)
    assert scene["quality"]["initial"]["reprojection_median_percent_of_height"] < 5
    assert "initialise: from the cache" in command(clip, *options, "--init", str(given)).stderr


def test_a_bad_start_is_an_error_before_the_work_begins(
    command: Command, make_clip: MakeClip, frames: Images, tmp_path: Path
) -> None:
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps({"frames": [1, 2]}))
    for name, expected in (("bad.pkl", "unknown format"), ("none.pt", "no such file")):
        ended = command(make_clip(frames[:1]), "--init", str(tmp_path / name))
        assert ended.exit_code == 1
        (line,) = ended.stderr.splitlines()
        assert line.startswith("error: ") and name in line and expected in line
        assert not (tmp_path / "out").exists()
