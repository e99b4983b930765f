"""report.html: written by a run beside the other files, or into the folder of a finished result."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from closemesh.core.errors import InputError
from closemesh.core.files import atomic_file
from closemesh.core.foreign import foreign_file
from closemesh.core.output_folder import OutputFolder
from closemesh.core.progress import NullProgress, Progress
from closemesh.report.measures import BackgroundMotion
from closemesh.report.page import report_page
from closemesh.report.payload import report_payload
from closemesh.report.records import ReportRecords, read_report_records
from closemesh.report.warnings import report_warnings
from closemesh.structures import BodyMotion, Clip
from closemesh.video import read_frames
from closemesh.video.video_files import Image, write_video

REPORT_FILE = "report.html"
_MAX_WIDTH, _MAX_HEIGHT = 640, 720  # Pixels of the video in the page.


def write_report(path: Path, records: ReportRecords, frames: Iterable[Image], progress: Progress) -> None:
    """Write the report of a result to `path`, one HTML page that needs no other file and no network.

    frames: RGB frames [H, W, 3] of the clip. Raises OutputError when the file cannot be written.
    """
    background = BackgroundMotion(records.observations.boxes, records.clip.fps)
    video = _small_video(_measured(frames, background, records.clip, progress), records.clip)
    warnings = report_warnings(records, background.shifts)
    page = report_page(records, report_payload(records), warnings, video)
    with atomic_file(path) as part:
        part.write_bytes(page)


def write_folder_report(
    out: Path, clip: Path | None = None, truth: BodyMotion | None = None, progress: Progress | None = None
) -> Path:
    """Write the report of the finished result in the folder `out`, and return its path.

    clip: where the clip is now, if it was moved. truth: the true motion of the same people in the camera frame, to be
    shown beside the result.

    Raises InputError when the result or the clip is missing or damaged, OutputError when report.html is not a file of
    closemesh or cannot be written.
    """
    output = OutputFolder(out)
    output.require_free({REPORT_FILE: ""})
    records = read_report_records(out, truth)
    present = replace(records, clip=replace(records.clip, path=clip or records.clip.path))
    if not present.clip.path.exists():
        raise InputError(f"{present.clip.path}: the clip is no longer there; give its new path with clip=")
    with output.staging() as staged, foreign_file(out / "scene.json", advice="run `closemesh reconstruct` again"):
        write_report(staged / REPORT_FILE, present, read_frames(present.clip), progress or NullProgress())
        output.publish(staged)
    return out / REPORT_FILE


def _measured(frames: Iterable[Image], background: BackgroundMotion, clip: Clip, progress: Progress) -> Iterator[Image]:
    """The frames, each measured and scaled to the size in the page."""
    scale = min(1.0, _MAX_WIDTH / clip.size[0], _MAX_HEIGHT / clip.size[1])
    size = tuple(max(2, round(scale * side) // 2 * 2) for side in clip.size)
    with progress.task("report", len(clip)) as advance:
        for index, frame in enumerate(frames):
            background.add(index, frame)
            yield np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
            advance(1)


def _small_video(frames: Iterator[Image], clip: Clip) -> bytes:
    """The frames as MP4."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        write_video(frames, path, clip.times)
        return path.read_bytes()
