"""`reconstruct --photos`: stopped, resumed, with bad photos between the good ones; then commands on a result."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from closemesh.cli.main import app
from closemesh.pipeline import stages

Images = list[np.ndarray]
Command = Callable[..., Result]
FEW_STEPS = "[initialise]\niterations = 2\n[optimise]\niterations = 2\n"


@dataclass(frozen=True)
class PhotoRuns:
    folder: Path
    out: Path
    stopped: Result
    """Interrupted in the second photo."""
    left: set[str]
    """Files that it left, without the cache."""
    resumed: Result


@pytest.fixture(scope="module")
def runs(frames: Images, tmp_path_factory: pytest.TempPathFactory) -> PhotoRuns:
    """Two photos of different size, a photo that is cut in half, and one without people."""
    folder, out = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("results") / "out"
    config = folder / "quick.toml"
    config.write_text(FEW_STEPS)
    frame = frames[0][..., ::-1]
    cv2.imwrite(str(folder / "pair.png"), frame)
    cv2.imwrite(str(folder / "wide.jpg"), cv2.copyMakeBorder(frame, 0, 0, 40, 40, cv2.BORDER_REPLICATE))
    (folder / "cut.png").write_bytes((folder / "pair.png").read_bytes()[:5000])
    cv2.imwrite(str(folder / "empty.jpg"), np.full((300, 400, 3), 120, np.uint8))
    (folder / "album").mkdir()
    shutil.copy(folder / "pair.png", folder / "album")
    arguments = ["reconstruct", str(folder), "--photos", "-o", str(out), "--preset", "fast", "--config", str(config)]

    calls: list[int] = []
    optimise = stages.optimise

    def stop_in_the_second(*given: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return optimise(*given)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "optimise", stop_in_the_second)
        stopped = CliRunner().invoke(app, arguments)
    left = {
        str(path.relative_to(out))
        for path in out.rglob("*")
        if path.is_file() and not {"stages", ".closemesh"} & {*path.parts}
    }
    return PhotoRuns(folder, out, stopped, left, CliRunner().invoke(app, arguments))


def test_ctrl_c_leaves_whole_photos(runs: PhotoRuns) -> None:
    assert runs.stopped.exit_code == 130
    assert "repeat the command to resume" in runs.stopped.stderr
    assert runs.left and {path.split("/")[0] for path in runs.left} == {"pair"}
    assert "pair/scene.json" in runs.left


def test_the_same_command_resumes(runs: PhotoRuns) -> None:
    cached = {line.split(": from")[0] for line in runs.resumed.stderr.splitlines() if "from the cache" in line}
    assert {"pair.png: optimise", "wide.jpg: refine"} <= cached
    assert "wide.jpg: optimise" not in cached


def test_bad_photos_are_named_at_the_end(runs: PhotoRuns) -> None:
    assert runs.resumed.exit_code == 1
    errors = runs.resumed.stderr.splitlines()[-2:]
    assert all(error.startswith("error: ") for error in errors)
    assert "cut.png" in errors[0] and "empty.jpg" in errors[1]
    assert "2 of 4 photos" in runs.resumed.stdout
    assert runs.resumed.stdout.count("failed") == 2


def test_good_photos_have_whole_results_of_their_size(runs: PhotoRuns) -> None:
    assert sorted(path.name for path in runs.out.iterdir()) == ["pair", "wide"]
    for name, size in (("pair", [360, 640]), ("wide", [440, 640])):
        scene = json.loads((runs.out / name / "scene.json").read_text())
        assert (scene["input"]["size"], scene["input"]["frames"]) == (size, 1)
        assert scene["quality"]["optimised"]["jitter_m_s3"] is None
        assert not [note for note in scene["notes"] if ".png" in note.split(":")[0]], "notes are those of one photo"
        assert "frames" not in " ".join(scene["notes"])
        overlay = cv2.imread(str(runs.out / name / "overlay.png"))
        assert overlay is not None and overlay.shape == (size[1], size[0], 3)
        for person in (runs.out / name / "people").iterdir():
            with np.load(person) as file:
                assert len(file["times"]) == 1 and np.isfinite(file["poses"]).all()


def test_commands_on_the_result_of_a_photo(runs: PhotoRuns, tmp_path: Path) -> None:
    out = runs.out / "pair"
    side = CliRunner().invoke(app, ["render", str(out), "--view", "side"])
    assert side.exit_code == 0, side.output
    assert side.stdout.strip() == str(out / "side.png") and cv2.imread(str(out / "side.png")) is not None
    moving = CliRunner().invoke(app, ["render", str(out), "--view", "top", "-o", str(tmp_path / "top.mp4")])
    assert moving.exit_code == 0 and (tmp_path / "top.mp4").read_bytes()[4:8] == b"ftyp"

    described = CliRunner().invoke(app, ["describe", str(out), "--print", "-o", str(tmp_path / "words.json")])
    assert described.exit_code == 0, described.output
    assert "A is upright." in described.stdout and "0.00 s" not in described.stdout
    entries = json.loads((tmp_path / "words.json").read_text())["descriptions"]
    assert not [entry for entry in entries if "start" in entry or "end" in entry]

    compared = CliRunner().invoke(app, ["evaluate", str(out), str(out), "--json", str(tmp_path / "errors.json")])
    assert compared.exit_code == 0, compared.output
    errors = json.loads((tmp_path / "errors.json").read_text())
    assert errors["MPJPE"] == pytest.approx(0, abs=1e-3) and all(np.isfinite(list(errors.values())))


def test_the_folder_of_all_photos_is_no_result(runs: PhotoRuns) -> None:
    ended = CliRunner().invoke(app, ["render", str(runs.out)])
    assert ended.exit_code == 1
    assert str(runs.out / "pair") in ended.stderr


def test_a_photo_needs_no_option(runs: PhotoRuns, command: Command, tmp_path: Path) -> None:
    ended = command(runs.folder / "pair.png", "--preset", "fast")
    assert ended.exit_code == 0, ended.output
    assert (tmp_path / "out" / "scene.json").is_file(), "its result is in the folder itself"
    assert not {"jitter", "frames", "per second"} & set(ended.stdout.split())
    assert "2 people; focal length" in " ".join(ended.stdout.split())


def test_images_of_different_sizes_are_no_clip(runs: PhotoRuns, command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name in ("pair.png", "wide.jpg"):
        shutil.copy(runs.folder / name, folder)
    ended = command(folder)
    assert ended.exit_code == 1
    (line,) = ended.stderr.splitlines()
    assert "440x640" in line and "--photos" in line
    assert not (tmp_path / "out").exists()
