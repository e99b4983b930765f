"""Small clips cut from the bundled one, and the command as a user runs it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from closemesh.cli.main import app
from closemesh.config.schema import ClipConfig
from closemesh.video import open_clip, read_frames
from closemesh.video.video_files import write_video
from closemesh.weights.locate import find_model
from closemesh.weights.registry import DEMO_CLIP

Images = list[NDArray[np.uint8]]
Command = Callable[..., Result]

FPS = 15
# Enough to see that the stages run; how good they are is tested where they live.
QUICK = """
[clip]
fps = 15
[initialise]
iterations = 2
[optimise]
iterations = 2
[output]
overlay = false
report = false
"""


@pytest.fixture(scope="session")
def full_frames() -> Images:
    """Six frames of two people, RGB [1920, 1080, 3]."""
    clip = open_clip(find_model(DEMO_CLIP), ClipConfig(fps=FPS))
    return list(islice(read_frames(clip), 6))


@pytest.fixture(scope="session")
def frames(full_frames: Images) -> Images:
    """The same at 640 by 360."""
    return [cv2.resize(frame, (360, 640), interpolation=cv2.INTER_AREA) for frame in full_frames]  # type: ignore[misc]


@pytest.fixture
def make_clip(tmp_path: Path) -> Callable[[Images], Path]:
    """Writes frames as clip.mp4."""

    def write(images: Images, name: str = "clip.mp4") -> Path:
        write_video(images, tmp_path / name, np.arange(len(images)) / FPS)
        return tmp_path / name

    return write


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """`closemesh reconstruct SOURCE -o out ...` with a small configuration, in this process."""
    (tmp_path / "quick.toml").write_text(QUICK)

    def run(source: Path, *options: str, out: Path | None = None) -> Result:
        target = out or tmp_path / "out"
        arguments = ["reconstruct", str(source), "-o", str(target), "--config", str(tmp_path / "quick.toml"), *options]
        return CliRunner().invoke(app, arguments)

    return run
