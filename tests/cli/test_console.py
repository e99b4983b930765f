"""What the user sees while a command runs, and how it ends."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from closemesh.cli.console import PlainLines, TerminalBars, error_text, photo_summary, show_progress, summary
from closemesh.cli.main import app
from closemesh.core.errors import InputError
from closemesh.weights.manifest import read_manifest
from closemesh.weights.registry import BUNDLED_FILES

METRICS = {"reprojection_median_px": 10.4, "penetration_max_mm": 31.0, "contacts": 2.0, "jitter_m_s3": None}


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_plain_lines_come_now_and_then_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    progress = PlainLines(clock)
    with progress.task("looking", total=100) as advance:
        for _ in range(50):
            clock.now += 0.5
            advance(2)
    progress.note("[focal] guessed")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "looking: 40/100 (4.0/s, 15 s to go)",
        "looking: 80/100 (4.0/s, 5 s to go)",
        "looking: done in 25.0 s",
        "note: [focal] guessed",
    ]


def test_what_an_earlier_run_did_does_not_count_for_the_rate(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with PlainLines(clock).task("looking", total=100, done=60) as advance:
        for _ in range(20):
            clock.now += 1.0
            advance(1)
    assert capsys.readouterr().err.splitlines()[0] == "looking: 70/100 (1.0/s, 30 s to go)"


def test_bytes_are_shown_in_megabytes(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    progress = PlainLines(clock, steps_are_bytes=True)
    for total in (40_000_000, None):
        with progress.task("fetching", total=total) as advance:
            for _ in range(4):
                clock.now += 5.0
                advance(5_000_000)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "fetching: 10.0/40.0 MB (1.0 MB/s, 30 s to go)"
    assert lines[3] == "fetching: 10.0 MB (1.0 MB/s)"


def test_a_task_that_fails_is_not_called_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no"), PlainLines().task("looking", total=None):
        raise ValueError("no")
    assert "done" not in capsys.readouterr().err


def test_a_terminal_gets_bars_that_end_at_the_total() -> None:
    screen = io.StringIO()
    with show_progress(Console(file=screen, force_terminal=True, width=120)) as progress:
        assert isinstance(progress, TerminalBars)
        with progress.task("looking", total=8) as advance:
            advance(3)
        with progress.task("counting", total=None) as advance:
            advance(5)
    assert "8/8" in screen.getvalue()
    assert "5/5" in screen.getvalue()


def test_bars_of_one_photo_are_removed_before_the_next() -> None:
    screen = io.StringIO()
    with show_progress(Console(file=screen, force_terminal=True, width=120)) as progress:
        assert isinstance(progress, TerminalBars)
        with progress.task("photos", total=3) as advance:
            for photo in ("a.jpg", "b.jpg"):
                for stage in ("observe", "refine"):
                    with progress.task(f"{photo}: {stage}", total=1):
                        pass
                advance(1)
            with pytest.raises(ValueError, match="bad"), progress.task("c.jpg: observe", total=1):
                raise ValueError("bad")
            advance(1)
        with progress.task("later", total=1):
            pass
        shown = [task.description for task in progress._bars.tasks]
    assert shown == ["photos", "later"]


def test_a_terminal_gets_bars_of_bytes() -> None:
    screen = io.StringIO()
    with show_progress(Console(file=screen, force_terminal=True, width=120), steps_are_bytes=True) as progress:
        with progress.task("fetching", total=8_000_000, done=2_000_000) as advance:
            advance(3_000_000)
    assert "8.0/8.0 MB" in screen.getvalue()


def test_the_summary_shows_before_and_after(tmp_path: Path) -> None:
    scene = {
        "people": [{"frames_valid": 50}, {"frames_valid": 48}],
        "input": {"frames": 50, "fps": 30.0},
        "camera": {"focal_px": 1500.0, "focal_source": "option"},
        "body_model": {"name": "closemesh_open/std"},
        "quality": {"initial": METRICS, "optimised": {**METRICS, "penetration_max_mm": 4.0}},
        "stages": [{"name": "observe", "seconds": 12.34, "peak_megabytes": None, "reused": True}],
    }
    (tmp_path / "scene.json").touch()
    screen = io.StringIO()
    Console(file=screen, width=120).print(summary(scene, tmp_path))
    output = screen.getvalue()
    for words in ("2 people", "50, 48 of 50 frames", "31 mm", "4 mm", "12.3", "(cached)", "scene.json"):
        assert words in output
    assert "jitter" not in output, "a metric without values is left out"
    assert "overlay.mp4" not in output


def test_the_summary_of_a_photo_has_nothing_over_time(tmp_path: Path) -> None:
    metrics = {**METRICS, "penetration_mean_mm": 31.0, "frames_crossing_percent": 100.0}
    scene = {
        "people": [{"frames_valid": 1}, {"frames_valid": 1}],
        "input": {"frames": 1, "fps": 30.0},
        "camera": {"focal_px": 1500.0, "focal_source": "option"},
        "body_model": {"name": "closemesh_open/std"},
        "quality": {"optimised": metrics},
        "stages": [],
    }
    screen = io.StringIO()
    Console(file=screen, width=120).print(summary(scene, tmp_path))
    assert "2 people; focal length 1500 px" in screen.getvalue() and "31 mm" in screen.getvalue()
    assert "frame" not in screen.getvalue() and "interval" not in screen.getvalue()


def test_the_summary_of_photos_has_a_line_for_each(tmp_path: Path) -> None:
    scene = {"people": [{}, {}], "quality": {"initial": {"contacts": 9.0}, "optimised": METRICS}}
    screen = io.StringIO()
    Console(file=screen, width=120).print(photo_summary({"[a].jpg": scene, "b.jpg": None}, tmp_path))
    good, bad = (next(line for line in screen.getvalue().splitlines() if name in line) for name in ("[a]", "b.jpg"))
    assert [cell.strip() for cell in good.split("│")[1:-1]] == ["[a].jpg", "2", "2", "", "31 mm"]
    assert "failed" in bad and "1 of 2 photos" in screen.getvalue()


def test_info_knows_every_bundled_file() -> None:
    result = CliRunner().invoke(app, ["info", "--json"])
    assert result.exit_code == 0
    files = {file["name"]: file for file in json.loads(result.stdout)["files"]}
    for known in BUNDLED_FILES:
        assert Path(files[known.name]["path"]).is_file()
        assert files[known.name]["megabytes"] > 0
    assert files["SMPLX_NEUTRAL.npz"]["licence"] == "non-commercial research"


def test_info_sees_the_licensed_body(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOSEMESH_BODY_MODEL", raising=False)
    assert _file_info("SMPLX_NEUTRAL.npz")["path"] is None
    assert "missing" in CliRunner().invoke(app, ["info"]).output
    (tmp_path / "SMPLX_NEUTRAL.npz").write_bytes(b"body")
    monkeypatch.setenv("CLOSEMESH_BODY_MODEL", str(tmp_path / "SMPLX_NEUTRAL.npz"))
    assert _file_info("SMPLX_NEUTRAL.npz")["path"] == str(tmp_path / "SMPLX_NEUTRAL.npz")


def test_info_sees_the_licensed_body_that_was_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOSEMESH_BODY_MODEL", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fetched = next(file for file in read_manifest() if file.name == "smplx").file
    path = tmp_path / "closemesh" / "models" / fetched
    path.parent.mkdir(parents=True)
    path.write_bytes(b"body")
    assert _file_info("SMPLX_NEUTRAL.npz")["path"] == str(path)


def _file_info(name: str) -> dict[str, Any]:
    output = json.loads(CliRunner().invoke(app, ["info", "--json"]).output)
    return next(file for file in output["files"] if file["name"] == name)


@pytest.mark.parametrize(("value", "shown"), [("0", False), ("", False), ("false", False), ("No", False), ("1", True)])
def test_the_traceback_is_shown_where_it_is_wanted(
    value: str, shown: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLOSEMESH_DEBUG", value)
    assert "CLOSEMESH_DEBUG=1" in error_text(ZeroDivisionError("division"))
    assert ("ZeroDivisionError" in capsys.readouterr().err) is shown


def test_errors_are_one_line_of_printable_text() -> None:
    name = "a\nb\x1b[31m\udcff\u2028.mp4"
    assert error_text(InputError(f"{name}: no such file")) == r"a\nb\x1b[31m\udcff\u2028.mp4: no such file"
    assert error_text(RuntimeError("CUDA out of memory.\nTried to")).startswith("out of memory; give fewer frames")
