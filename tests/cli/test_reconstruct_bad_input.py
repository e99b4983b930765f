"""Whatever is wrong with the input ends with one clear line, exit code 1 and nothing half-written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from typer.testing import Result

Images = list[np.ndarray]
MakeClip = Callable[..., Path]
Command = Callable[..., Result]


def assert_fails(result: Result, *words: str, out: Path | None = None) -> None:
    """Exit code 1 and an error of one line that contains all of `words`."""
    assert result.exit_code == 1, result.output
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, result.stderr
    assert result.stderr.rstrip().endswith(errors[0]), "the error is the last line"
    for word in words:
        assert word in errors[0]
    if out is not None:
        assert not out.exists(), "nothing is left of a run that made nothing"


def test_no_file(command: Command, tmp_path: Path) -> None:
    assert_fails(command(tmp_path / "none.mp4"), "none.mp4", "no such file", out=tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"Dear video, ...\n" * 50])
def test_no_video(command: Command, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "notes.mp4").write_bytes(content)
    assert_fails(command(tmp_path / "notes.mp4"), "notes.mp4", "convert", out=tmp_path / "out")


def test_a_video_without_its_end(command: Command, frames: Images, tmp_path: Path) -> None:
    """Without the index at its end nothing can be read."""
    whole = tmp_path / "whole.mp4"
    with av.open(str(whole), "w") as container:
        stream = container.add_stream("libx264", rate=15)
        stream.width, stream.height, stream.pix_fmt = 360, 640, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[:-3000])
    assert_fails(command(tmp_path / "cut.mp4"), "cut.mp4", out=tmp_path / "out")


def test_a_video_cut_in_the_middle_is_used_up_to_there(
    command: Command, make_clip: MakeClip, frames: Images, tmp_path: Path
) -> None:
    """The index stands first, so the frames before the cut can be read; there is a note."""
    clip = make_clip(frames * 2)
    clip.write_bytes(clip.read_bytes()[: int(0.7 * clip.stat().st_size)])
    result = command(clip)
    assert result.exit_code == 0, result.output
    assert "note:" in result.stderr
    assert "damaged after" in result.stderr
    with np.load(tmp_path / "out" / "people" / "person_00.npz") as person:
        assert 3 <= len(person["times"]) < 12


def test_zero_frames(command: Command, make_clip: MakeClip, frames: Images, tmp_path: Path) -> None:
    clip = make_clip(frames)
    assert_fails(command(clip, "--start", "60"), "clip.mp4", "no frame from 60 s", out=tmp_path / "out")
    (tmp_path / "empty").mkdir()
    assert_fails(command(tmp_path / "empty"), "holds no images", out=tmp_path / "out")


def test_no_person(command: Command, make_clip: MakeClip, full_frames: Images, tmp_path: Path) -> None:
    mats = [np.ascontiguousarray(frame[1200:1840, :360]) for frame in full_frames]
    assert_fails(command(make_clip(mats)), "no person found in", "clip.mp4", out=tmp_path / "out")


def test_one_person(command: Command, make_clip: MakeClip, full_frames: Images, tmp_path: Path) -> None:
    alone = [cv2.resize(frame[240:1240, 120:680], None, fx=0.5, fy=0.5) for frame in full_frames[:3]]
    result = command(make_clip(alone))
    assert result.exit_code == 0, result.output
    assert "one person" in result.output
    assert [file.name for file in (tmp_path / "out" / "people").iterdir()] == ["person_00.npz"]


def test_people_in_some_of_the_frames(command: Command, make_clip: MakeClip, frames: Images, tmp_path: Path) -> None:
    empty = np.full_like(frames[0], 120)
    result = command(make_clip([empty, empty, *frames[:3], empty, empty]))
    assert result.exit_code == 0, result.output
    with np.load(tmp_path / "out" / "people" / "person_00.npz") as person:
        assert person["valid"].tolist() == [False, False, True, True, True, False, False]


def test_tiny_frames(command: Command, make_clip: MakeClip, frames: Images, tmp_path: Path) -> None:
    tiny = [cv2.resize(frame, (32, 32)) for frame in frames]
    assert_fails(command(make_clip(tiny)), "clip.mp4", "32x32", out=tmp_path / "out")


def test_frames_of_8k(command: Command, full_frames: Images, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for index, frame in enumerate(full_frames[:3]):
        wide = np.full((1080, 1920, 3), 120, np.uint8)
        wide[:, 700:1308] = cv2.resize(frame, (608, 1080))
        cv2.imwrite(str(tmp_path / "images" / f"{index}.jpg"), cv2.resize(wide, (7680, 4320))[..., ::-1])
    result = command(tmp_path / "images")
    assert result.exit_code == 0, result.output
    with np.load(tmp_path / "out" / "people" / "person_01.npz") as person:
        assert person["valid"].all()


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_gray_images(command: Command, frames: Images, tmp_path: Path, depth: type) -> None:
    (tmp_path / "images").mkdir()
    for index, frame in enumerate(frames[:3]):
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(depth)
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), gray * 257 if depth is np.uint16 else gray)
    result = command(tmp_path / "images")
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "out" / "people").iterdir())) == 2


def test_a_file_where_the_results_go(command: Command, make_clip: MakeClip, frames: Images, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    clip = make_clip(frames)
    assert_fails(command(clip), "cannot write into", "a file is in the way", "-o")
    assert_fails(command(clip, out=tmp_path / "out" / "below"), "a file is in the way")
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(
    command: Command, make_clip: MakeClip, frames: Images, tmp_path: Path
) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    assert_fails(command(make_clip(frames), out=tmp_path / "closed" / "out"), "Permission denied", "-o")


def test_a_full_disk(
    command: Command, make_clip: MakeClip, frames: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    assert_fails(command(make_clip(frames[:3])), "cannot write", "No space left on device", out=tmp_path / "out")


@pytest.mark.parametrize("name", ["none.npz", "text.npz", "arrays.npz", "SMPLX_NEUTRAL.pkl"])
def test_a_wrong_body(command: Command, make_clip: MakeClip, frames: Images, tmp_path: Path, name: str) -> None:
    (tmp_path / "text.npz").write_text("no body")
    np.savez(tmp_path / "arrays.npz", v_template=np.zeros((3, 3)))
    (tmp_path / "SMPLX_NEUTRAL.pkl").write_bytes(b"\x80\x02}q\x00.")
    result = command(make_clip(frames), "--body-model", str(tmp_path / name))
    assert_fails(result, name, out=tmp_path / "out")


@pytest.mark.parametrize("content", ["[clip]\nfsp = 3\n", "preset = 'quick'\n", "= ="])
def test_a_wrong_configuration(
    command: Command, make_clip: MakeClip, frames: Images, tmp_path: Path, content: str
) -> None:
    (tmp_path / "wrong.toml").write_text(content)
    result = command(make_clip(frames), "--config", str(tmp_path / "wrong.toml"))
    assert_fails(result, out=tmp_path / "out")


def test_an_unknown_error_is_one_line(
    command: Command, make_clip: MakeClip, frames: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr("closemesh.pipeline.stages.observe", broken)
    assert_fails(command(make_clip(frames)), "ZeroDivisionError: division by zero", "CLOSEMESH_DEBUG=1")
    monkeypatch.setenv("CLOSEMESH_DEBUG", "1")
    assert "Traceback" in command(make_clip(frames)).stderr


def test_stopped_then_resumed(
    command: Command, make_clip: MakeClip, frames: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    clip = make_clip(frames[:3])
    with monkeypatch.context() as patch:
        patch.setattr("closemesh.pipeline.stages.optimise", stop)
        result = command(clip)
    assert result.exit_code == 130
    assert "repeat the command to resume" in result.stderr
    assert not (tmp_path / "out" / "people").exists()
    result = command(clip)
    assert result.exit_code == 0, result.output
    assert "initialise: from the cache" in result.stderr
    assert "optimise: from the cache" not in result.stderr


def test_a_real_interrupt(make_clip: MakeClip, frames: Images, tmp_path: Path) -> None:
    """Ctrl-C while the stages run, in a process of its own."""
    arguments = ["reconstruct", str(make_clip(frames)), "-o", str(tmp_path / "out"), "--preset", "best"]
    process = subprocess.Popen([sys.executable, "-m", "closemesh", *arguments], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:  # Until something has been done.
        if "done" in line:
            break
    process.send_signal(2)
    output = process.stderr.read()
    assert process.wait() == 130
    assert "stopped" in output
    assert not list((tmp_path / "out").rglob(".*part*"))
