"""What a user gets when a stage gives no numbers or the memory is full: a complete result with a note, or one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import Result

from closemesh.pipeline import stages

Images = list[np.ndarray]
LAST_STAGE = "closemesh.pipeline.stages.optimise"


def not_finite(*given: Any) -> tuple[Any, ...]:
    camera, motion, appearance = stages.optimise_as_it_is(*given)  # type: ignore[attr-defined]
    transl = motion.transl.copy()
    transl[1, 0, 2] = np.nan
    return camera, motion.with_pose(transl=transl), appearance


def out_of_memory(*given: Any) -> None:
    raise torch.cuda.OutOfMemoryError("CUDA out of memory")


@pytest.fixture
def clip(make_clip: Callable[..., Path], frames: Images, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(stages, "optimise_as_it_is", stages.optimise, raising=False)
    return make_clip(frames[:3])


def numbers_of(out: Path) -> list[np.ndarray]:
    people = [np.load(path) for path in sorted((out / "people").iterdir())]
    return [person[name] for person in people for name in person.files if person[name].dtype.kind == "f"]


@pytest.mark.parametrize("fault", [not_finite, out_of_memory])
def test_the_result_is_complete_and_the_next_run_repairs_it(
    command: Callable[..., Result], clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(LAST_STAGE, fault)
        result = command(clip)
    assert result.exit_code == 0, result.output
    assert all(np.isfinite(array).all() for array in numbers_of(out))
    scene = json.loads((out / "scene.json").read_text())
    [note] = [note for note in scene["notes"] if note.startswith("optimise: ")]
    assert "the stage is left out" in note and f"note: {note}" in result.stderr
    assert scene["quality"]["optimised"] == scene["quality"]["refined"]
    result = command(clip)
    assert result.exit_code == 0, result.output
    scene = json.loads((out / "scene.json").read_text())
    assert not [note for note in scene["notes"] if "left out" in note]
    reused = {stage["name"]: stage["reused"] for stage in scene["stages"]}
    assert reused["refine"] and not reused["optimise"] and not reused["contact_optimised"]


def test_a_first_motion_without_numbers_is_one_line(
    command: Callable[..., Result], clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    initialise = stages.initialise

    def not_finite(*given: Any) -> tuple[Any, ...]:
        camera, motion, uncertainty = initialise(*given)
        return replace(camera, focal=float("nan")), motion, uncertainty

    monkeypatch.setattr(stages, "initialise", not_finite)
    result = command(clip)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("error: initialise: in its result, focal is nan; check the clip")
    assert not (tmp_path / "out" / "people").exists()


def test_nothing_is_written_of_a_result_with_a_number_that_is_not_finite(
    command: Callable[..., Result], clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one that a version without these checks left in the cache."""
    monkeypatch.setattr(stages, "check_finite", lambda where, record: None)
    monkeypatch.setattr(LAST_STAGE, not_finite)
    monkeypatch.setattr(stages, "measure_contacts", lambda *given: ())
    result = command(clip)
    assert result.exit_code == 1
    error = result.stderr.splitlines()[-1]
    assert "motions, optimised, transl is nan at frame 1, person 0; nothing is written" in error
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {"stages", ".closemesh"}
