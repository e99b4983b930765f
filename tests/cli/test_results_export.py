"""`closemesh export`: a result on another body, what it prints and leaves, and what is wrong in one line."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embrace import embrace
from finished_result import write_finished_result
from stand_in_body import write_smplx_stand_in
from typer.testing import CliRunner, Result

from closemesh.body.loading import load_body, load_bundled_body
from closemesh.body_transfer import transfer
from closemesh.body_transfer.transfer import TransferSteps
from closemesh.cli.main import app
from closemesh.output.people import read_people
from closemesh.pipeline.cache import load_saved_motion
from closemesh.weights.locate import find_model


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished result on the bundled body."""
    folder, body = tmp_path_factory.mktemp("result") / "out", load_bundled_body()
    write_finished_result(folder, embrace(body, frames=2), body)
    return folder


def export(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["export", *map(str, arguments)])


def test_export_writes_a_result_on_the_new_body(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # How near it comes with all steps is tested where it is made.
    monkeypatch.setattr(transfer, "TransferSteps", lambda: TransferSteps(shape=15, pose=5, contact=5))
    file, target = write_smplx_stand_in(tmp_path / "SMPLX_NEUTRAL.npz"), tmp_path / "converted"
    ended = export(out, "--body-model", file, "-o", target)
    assert ended.exit_code == 0, ended.output
    for expected in (
        "joints",
        "keypoints",
        "surface, to the nearest point",
        "mean distance",
        "deepest penetration",
        "copied",
    ):
        assert expected in ended.stdout
    errors = json.loads((target / "conversion.json").read_text())
    assert errors["from"]["name"] == "closemesh_open/std" and errors["to"]["name"] == "smplx/SMPLX_NEUTRAL"
    assert errors["joints_mm"]["fitted"]["mean"] < errors["joints_mm"]["copied"]["mean"]
    assert errors["contacts"][0]["people"] == [0, 1]
    body = load_body(file)
    people = read_people(target / "people")
    assert [person.surface_model_type for person in people] == ["smplx", "smplx"]
    assert people[0].body_model_sha256 == body.sha256 and np.isfinite(people[0].joints).all()
    saved = load_saved_motion(target, "optimised")
    assert saved.body_path == str(file.resolve()) and saved.motion.body_model == body.name
    drawn = CliRunner().invoke(app, ["render", str(target), "--view", "side", "--format", "png"])
    assert drawn.exit_code == 0, drawn.output


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


def test_a_malicious_body_is_one_line_and_not_run(out: Path, tmp_path: Path) -> None:
    (tmp_path / "SMPLX_NEUTRAL.pkl").write_bytes(pickle.dumps(Malicious(tmp_path / "ran")))
    ended = export(out, "--body-model", tmp_path / "SMPLX_NEUTRAL.pkl", "-o", tmp_path / "to")
    assert_fails(ended, "SMPLX_NEUTRAL.pkl cannot be read")
    assert not (tmp_path / "ran").exists() and not (tmp_path / "to").exists()


def test_what_makes_no_sense_is_one_line(out: Path, tmp_path: Path) -> None:
    same = find_model("open_body/open_body_std.npz")
    assert_fails(export(out, "--body-model", same, "-o", tmp_path / "to"), "on the body closemesh_open/std already")
    assert_fails(export(out, "--body-model", same, "-o", out), "holds another result")
    assert_fails(export(tmp_path, "--body-model", same), "no finished result")
    assert_fails(export(out, "--body-model", tmp_path / "none.npz"), "none.npz not found")


def assert_fails(ended: Result, expected: str) -> None:
    assert ended.exit_code == 1, ended.output
    lines = ended.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and expected in lines[0]
