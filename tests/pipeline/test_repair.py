"""Repairs of a real, short result: what runs again, what stays, and what stops a repair before any work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from closemesh.cli.main import app
from closemesh.config.loading import override
from closemesh.config.schema import preset_config
from closemesh.pipeline.reconstruct import reconstruct
from closemesh.pipeline.repair import apply_edits, saved_edits, undo_edit
from closemesh.repair.edits import parse_line
from closemesh.weights.locate import find_model
from closemesh.weights.registry import DEMO_CLIP

# Enough to see what runs; how good a fit is is tested where it lives.
SHORT = {
    "clip": {"fps": 10.0, "end": 0.4},
    "observe": {"people": 2},
    "initialise": {"iterations": 2},
    "optimise": {"iterations": 2},
    "output": {"overlay": False},
}
CONFIG = override(preset_config("fast"), SHORT)
SWAP = parse_line("swap 0:1@1-2")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result without edits."""
    out = tmp_path_factory.mktemp("first") / "out"
    reconstruct(find_model(DEMO_CLIP), out, CONFIG, "cpu")
    return out


@pytest.fixture
def out(first: Path, tmp_path: Path) -> Path:
    """A copy of that result."""
    return Path(shutil.copytree(first, tmp_path / "out"))


def people_of(out: Path) -> list[dict[str, np.ndarray]]:
    found = []
    for file in sorted((out / "people").iterdir()):
        with np.load(file) as values:
            found.append({name: values[name] for name in values.files})
    return found


def assert_same_people(a: Path, b: Path) -> None:
    for one, other in zip(people_of(a), people_of(b), strict=True):
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name], name)


def ran(out: Path) -> list[str]:
    """The stages that the last run did not take from the cache."""
    return [one["name"] for one in json.loads((out / "scene.json").read_text())["stages"] if not one["reused"]]


def fix(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["fix", *map(str, arguments)])


def test_a_second_swap_repairs_a_first_one_and_undo_removes_it_again(first: Path, out: Path) -> None:
    swapped = apply_edits(out, [SWAP], "cpu")
    edits, masks = (out / "edits.json").read_bytes(), (out / "masks" / "000001.png").read_bytes()
    assert masks != (first / "masks" / "000001.png").read_bytes()
    assert ran(out)[:2] == ["repair", "initialise"]
    assert not np.array_equal(people_of(out)[0]["trans"], people_of(first)[0]["trans"])
    apply_edits(out, [SWAP], "cpu")
    assert_same_people(out, first)
    assert (out / "masks" / "000001.png").read_bytes() == (first / "masks" / "000001.png").read_bytes()
    again = undo_edit(out, "cpu")
    assert (out / "edits.json").read_bytes() == edits
    np.testing.assert_array_equal(again.motion.transl, swapped.motion.transl)


def test_reconstruct_keeps_the_edits_and_undoing_all_gives_the_first_result(first: Path, out: Path) -> None:
    apply_edits(out, [parse_line("pin 0:left_wrist@1=300,700")], "cpu")
    assert "observe" not in ran(out)
    again = reconstruct(find_model(DEMO_CLIP), out, CONFIG, "cpu")
    assert ran(out) == []
    assert any("1 edit of edits.json" in note for note in again.notes)
    assert saved_edits(out) == (parse_line("pin 0:left_wrist@1=300,700"),)
    undo_edit(out, "cpu")
    assert not (out / "edits.json").exists()
    assert_same_people(out, first)


def test_a_contact_changes_the_last_stages_only(out: Path) -> None:
    apply_edits(out, [parse_line("touch 0:left_hand-1:upper_trunk@1-2")], "cpu")
    assert set(ran(out)) == {"refine", "optimise", "contact_refined", "contact_optimised"}


def test_edits_of_other_observations_stop_reconstruct(out: Path) -> None:
    apply_edits(out, [parse_line("touch 0:left_hand-1:upper_trunk@1-2")], "cpu")
    scene = (out / "scene.json").read_bytes()
    ended = CliRunner().invoke(app, ["reconstruct", str(find_model(DEMO_CLIP)), "-o", str(out), "--preset", "fast"])
    assert ended.exit_code == 1
    assert "edits.json has edits for other observations" in " ".join(ended.stderr.split())
    assert (out / "scene.json").read_bytes() == scene


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--swap", "0:5@1-2"], "there is no person 5; the result has 0 to 1"),
        (["--swap", "0:1@1-900"], "there is no frame 900"),
        (["--pin", "0:left_wirst@1=3,4"], "near are left_wrist"),
        (["--undo"], "has no edits to undo"),
    ],
)
def test_what_does_not_fit_is_one_line_and_changes_nothing(first: Path, arguments: list[str], line: str) -> None:
    before = (first / ".closemesh").read_bytes()
    ended = fix(first, *arguments)
    assert ended.exit_code == 1
    assert line in " ".join(ended.stderr.split())
    assert (first / ".closemesh").read_bytes() == before
    assert not (first / "edits.json").exists()


def test_a_result_of_another_version_is_named(out: Path) -> None:
    report = out / "stages" / "observe" / "stage.json"
    report.write_text(json.dumps(json.loads(report.read_text()) | {"key": "0" * 64}))
    ended = fix(out, "--drop", "1")
    assert ended.exit_code == 1
    assert "is of another version of closemesh" in " ".join(ended.stderr.split())


def test_no_result_and_no_edit_are_named(tmp_path: Path) -> None:
    ended = fix(tmp_path, "--list")
    assert ended.exit_code == 1
    assert "holds no finished result" in " ".join(ended.stderr.split())
    assert fix(tmp_path).exit_code == 2
