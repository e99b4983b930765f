"""report.html in the folder of a finished result: written, replaced, refused."""

from __future__ import annotations

import base64
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from closemesh.core.errors import InputError, OutputError
from closemesh.core.progress import NullProgress
from closemesh.report.records import ReportRecords, read_report_records
from closemesh.report.write import write_folder_report, write_report


@pytest.fixture
def out(result: Path, tmp_path: Path) -> Path:
    """A copy of the result; the clip is not where it was."""
    shutil.copytree(result, tmp_path / "out")
    shutil.copy(result.parent / "clip.mp4", tmp_path / "moved.mp4")
    return tmp_path / "out"


def test_a_finished_result_gets_a_report(out: Path, tmp_path: Path) -> None:
    report = write_folder_report(out, clip=tmp_path / "moved.mp4")
    first = report.read_bytes()
    assert write_folder_report(out, clip=tmp_path / "moved.mp4").read_bytes() == first
    assert not list(out.glob(".closemesh-*"))


def test_the_video_is_small_and_has_all_frames(records: ReportRecords, tmp_path: Path) -> None:
    wide = replace(records, clip=replace(records.clip, size=(1280, 960)))
    frames = (np.zeros((960, 1280, 3), np.uint8) for _ in range(len(records.clip)))
    write_report(tmp_path / "r.html", wide, frames, NullProgress())
    (text,) = re.findall(r'<script type="text/plain" id="video-data">(.*?)</script>', (tmp_path / "r.html").read_text())
    (tmp_path / "v.mp4").write_bytes(base64.b64decode(text))
    with av.open(str(tmp_path / "v.mp4")) as video:
        shown = list(video.decode(video=0))
    assert {(frame.width, frame.height) for frame in shown} == {(640, 480)}
    assert len(shown) == len(records.clip)


def test_a_foreign_report_is_not_replaced(out: Path, tmp_path: Path) -> None:
    (out / "report.html").write_text("mine")
    with pytest.raises(OutputError, match=r"report\.html was not written by closemesh"):
        write_folder_report(out, clip=tmp_path / "moved.mp4")
    assert (out / "report.html").read_text() == "mine"


def test_a_missing_clip_leaves_nothing_behind(out: Path) -> None:
    before = sorted(path.name for path in out.iterdir())
    with pytest.raises(InputError, match=r"embrace\.mp4: the clip is no longer there"):
        write_folder_report(out)
    assert sorted(path.name for path in out.iterdir()) == before


def test_a_damaged_scene_gives_one_line(out: Path, tmp_path: Path) -> None:
    scene = json.loads((out / "scene.json").read_text())
    (out / "scene.json").write_text(json.dumps({**scene, "quality": {"optimised": 3}}))
    with pytest.raises(InputError, match=r"scene\.json is not as documented") as caught:
        write_folder_report(out, clip=tmp_path / "moved.mp4")
    assert "\n" not in str(caught.value)
    assert not (out / "report.html").exists()


def test_files_of_different_results(out: Path, records: ReportRecords) -> None:
    with pytest.raises(InputError, match="mixes files of different results"):
        read_report_records(out, truth=records.motion.frames(slice(3)))
    (out / "people" / "person_01.npz").unlink()
    with pytest.raises(InputError, match="mixes files of different results"):
        read_report_records(out)
