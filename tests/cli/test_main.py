"""Help is shown without heavy imports; wrong usage ends with exit code 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import closemesh
from closemesh.cli.main import COMMANDS, app, load_command

HEAVY = {"torch", "numpy", "scipy", "cv2", "av", "onnxruntime", "numba", "trimesh", "requests"}


def closemesh_in_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["reconstruct"],
        ["render"],
        ["describe"],
        ["export"],
        ["evaluate"],
        ["demo"],
        ["download-weights"],
        ["info"],
        ["benchmark"],
        ["benchmark", "speed"],
        ["benchmark", "synthetic"],
        ["benchmark", "3dpw"],
    ],
)
def test_every_command_has_help(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, [*arguments, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def imported_for(*arguments: str) -> set[str]:
    """Modules that a process has imported after this command, which ends with SystemExit."""
    code = (
        "import sys, json, contextlib, io\n"
        f"sys.argv = ['closemesh', *{arguments!r}]\n"
        "from closemesh.cli.main import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): main()\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    return set(json.loads(closemesh_in_python(code)))


def test_help_imports_nothing_heavy() -> None:
    assert not HEAVY & imported_for("reconstruct", "--help")


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_list_of_commands_imports_none_of_them(option: str) -> None:
    imported = imported_for(option)
    assert not (HEAVY | {"pydantic", "annotated_types", "rich", "filelock"}) & imported
    assert {name for name in imported if name.startswith("closemesh.")} == {"closemesh.cli", "closemesh.cli.main"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_listed_command_can_be_loaded(name: str) -> None:
    command = load_command(name)
    assert command.name == name and command.help


def test_the_package_is_lazy_and_names_what_it_gives() -> None:
    code = (
        "import sys, closemesh\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
        "assert set(closemesh.__all__) <= set(dir(closemesh))\n"
        "from closemesh import reconstruct, Reconstruction, Config\n"
        "print(reconstruct.__module__)\n"
    )
    assert closemesh_in_python(code).strip() == "closemesh.pipeline.reconstruct"
    with pytest.raises(AttributeError, match="no attribute 'reconstrukt'"):
        _ = closemesh.reconstrukt


def test_the_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.strip() == f"closemesh {closemesh.__version__}"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--preset", "quick"], "balanced"),
        (["--detector", "eyes"], "mediapipe"),
        (["--mesh-format", "fbx"], "glb"),
        (["--people", "two"], "0,3"),
        (["--people", "0"], "observe.people"),
        (["--pairs", "0+1"], "0-1,1-2"),
        (["--pairs", "1-1"], "two different people"),
        (["--fps", "0"], "clip.fps"),
        (["--focal", "-3"], "initialise.focal"),
        (["--start", "3", "--end", "2"], "later end"),
        (["--start", "soon"], "--start"),
        (["--descriptions", "a.json", "--describe-with", "http://localhost/v1", "--vlm-model", "x"], "not from both"),
        (["--describe-with", "http://localhost/v1"], "--vlm-model"),
        (["--colour", "red"], "--colour"),
    ],
)
def test_wrong_options_are_wrong_usage(arguments: list[str], expected: str) -> None:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["reconstruct", "clip.mp4", "-o", "out", *arguments])
    assert result.exit_code == 2
    assert expected in result.output


@pytest.mark.parametrize("name", ["-dance.mp4", "-d ance.MOV", "--dance.mp4", "-frames"])
def test_a_name_with_a_dash_gets_the_way_out(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(b"")
    runner = CliRunner(env={"COLUMNS": "300"})
    result = runner.invoke(app, ["reconstruct", name, "-o", "out"])
    assert result.exit_code == 2 and f"'./{name}'" in result.output
    for arguments in ([f"./{name}", "-o", "out"], ["-o", "out", "--", name]):
        result = runner.invoke(app, ["reconstruct", *arguments])
        assert result.exit_code == 1 and name in result.output


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("images/%04d.png", "give the folder of the images, images"),
        ("a/*.jpg", "give the folder of the images, a"),
        ("http://a.b/c.mp4", "download the video"),
        ("dance [1080p].mp4", "give a video or a folder of images"),
    ],
)
def test_patterns_and_addresses_get_the_way_out(name: str, words: str) -> None:
    result = CliRunner().invoke(app, ["reconstruct", name, "-o", "out"])
    assert result.exit_code == 1 and words in result.output
