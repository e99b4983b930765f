"""Every example runs, on five frames of the bundled clip."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from stand_in_body import write_bundled_stand_in

from closemesh.weights.locate import find_model
from closemesh.weights.registry import DEMO_CLIP

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FIVE_FRAMES = 0.15  # Seconds.


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name[:2]}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first example writes."""
    out = tmp_path_factory.mktemp("examples") / "out"
    load("01_reconstruct").main(str(find_model(DEMO_CLIP)), str(out), FIVE_FRAMES)
    return out


def test_five_numbered_examples() -> None:
    assert [file.stem[:2] for file in sorted(EXAMPLES.glob("*.py"))] == ["01", "02", "03", "04", "05"]


def test_reconstruct(result: Path) -> None:
    assert (result / "people" / "person_01.npz").is_file()


def test_read_result(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load("02_read_result").main(result)
    printed = capsys.readouterr().out
    assert "people/person_00.npz joints (5, 55, 3)" in printed


def test_load_result(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load("05_load_result").main(str(result))
    assert "mesh in the world frame" in capsys.readouterr().out


def test_single_stages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load("03_single_stages").main(find_model(DEMO_CLIP), FIVE_FRAMES, tmp_path)
    distance = float(capsys.readouterr().out.split("mean distance of the wrists: ")[1].split(" cm")[0])
    assert 0.1 < distance < 100


def test_import_and_transfer(result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body, init = write_bundled_stand_in(tmp_path / "body.npz"), result / "people"
    example = load("04_import_and_transfer")
    example.main(str(find_model(DEMO_CLIP)), str(init), str(body), str(tmp_path / "out"), FIVE_FRAMES)
    copied, fitted = (float(part.split(" mm")[0]) for part in capsys.readouterr().out.split("joints ")[1:])
    assert fitted < copied
