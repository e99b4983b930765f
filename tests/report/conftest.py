"""A finished result of two people who embrace, its video, and the records of its report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from embrace import embrace
from finished_result import write_finished_result
from known_scenes import FPS, SIZE

from closemesh.body.loading import load_bundled_body
from closemesh.report.records import ReportRecords, read_report_records
from closemesh.video.video_files import write_video

FRAMES = 24


@pytest.fixture(scope="session")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `out`, with the clip `clip.mp4` beside it: frame t is as bright as 10 t."""
    folder = tmp_path_factory.mktemp("report")
    body = load_bundled_body("std")
    write_finished_result(folder / "out", embrace(body, FRAMES), body)
    frames = (np.full((SIZE[1], SIZE[0], 3), 10 * t, np.uint8) for t in range(FRAMES))
    write_video(frames, folder / "clip.mp4", np.arange(FRAMES) / FPS)
    return folder / "out"


@pytest.fixture(scope="session")
def records(result: Path) -> ReportRecords:
    return read_report_records(result)
