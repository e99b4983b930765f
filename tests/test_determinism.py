"""The same clip, seed and machine give the same bytes; in a short fit without masks, other threads the same motion."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from closemesh.weights.locate import find_model
from closemesh.weights.registry import DEMO_CLIP

FEWER_STEPS = "[initialise]\niterations = 10\n[optimise]\niterations = 10\n[output]\noverlay = false\nreport = false\n"
# Fits to outlines and in contact choose points: there, sums in another order grow to millimeters in many steps.
NO_MASKS = FEWER_STEPS + "[observe]\nmasks = false\n"
RUNS = {"first": (1, FEWER_STEPS), "second": (1, FEWER_STEPS), "one": (1, NO_MASKS), "two": (2, NO_MASKS)}
"""Name -> number of threads and configuration."""
MAX_DIFFERENCE = 1e-4  # Meters, between sums in another order; measured 1e-5.


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of the runs, each in a process of its own."""
    folder = tmp_path_factory.mktemp("runs")
    shutil.copy(find_model(DEMO_CLIP), folder / "dance.mp4")
    options = ("--preset", "fast", "--fps", "10", "--end", "0.5", "--people", "2")
    for name, (threads, config) in RUNS.items():
        (folder / "options.toml").write_text(config)
        subprocess.run(
            [
                *(sys.executable, "-m", "closemesh", "reconstruct", "dance.mp4", "-o", name),
                *("--device", "cpu", "--config", "options.toml", *options),
            ],
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)},
            cwd=folder,
            check=True,
            capture_output=True,
        )
    return {name: folder / name for name in RUNS}


def scene_of(out: Path) -> dict[str, Any]:
    """The values of scene.json without those of the run: seconds and memory."""
    scene = json.loads((out / "scene.json").read_text())
    scene["stages"] = [(stage["name"], stage["reused"]) for stage in scene["stages"]]
    return {name: value for name, value in scene.items() if not name.startswith("run")}


def test_the_same_run_gives_the_same_bytes(results: dict[str, Path]) -> None:
    first, second = results["first"], results["second"]
    files = {path.relative_to(first) for path in first.rglob("*") if path.is_file() and "stages" not in path.parts}
    files -= {Path("scene.json"), Path(".closemesh")}  # Both name the run.
    assert {Path("people/person_01.npz"), Path("contacts.json"), Path("meshes/scene.glb")} <= files
    assert not [file for file in files if (first / file).read_bytes() != (second / file).read_bytes()]
    assert scene_of(first) == scene_of(second)


@pytest.mark.parametrize("person", ["person_00.npz", "person_01.npz"])
def test_the_number_of_threads_changes_next_to_nothing(results: dict[str, Path], person: str) -> None:
    with np.load(results["one"] / "people" / person) as one, np.load(results["two"] / "people" / person) as two:
        assert np.array_equal(one["valid"], two["valid"])
        assert np.abs(one["joints"] - two["joints"]).max() < MAX_DIFFERENCE
