"""The demo clip, and real files of networks that are trained here in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from known_scenes import KnownScene
from rendered_people import RenderedPeople, rendered_people

from closemesh.config.schema import ClipConfig
from closemesh.perception.keypoints.topdown import MediaPipeDetector
from closemesh.structures import Clip
from closemesh.video import open_clip, read_frames
from closemesh.weights.locate import find_model
from closemesh.weights.registry import DEMO_CLIP


@pytest.fixture(scope="session")
def clip() -> Clip:
    return open_clip(find_model(DEMO_CLIP), ClipConfig(fps=6))


@pytest.fixture(scope="session")
def first_frame(clip: Clip) -> np.ndarray:
    return next(read_frames(clip))


@pytest.fixture(scope="session")
def detector() -> MediaPipeDetector:
    return MediaPipeDetector()


@pytest.fixture(scope="session")
def people(known_scene: KnownScene) -> RenderedPeople:
    return rendered_people(known_scene)


@pytest.fixture(scope="session")
def yolo_folder(people: RenderedPeople, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with a YOLO pose and a YOLO segmentation network that know the rendered people."""
    pytest.importorskip("ultralytics")
    from trained_yolo import train_yolo

    folder = tmp_path_factory.mktemp("models")
    train_yolo("yolo26n-pose", people, folder / "ultralytics" / "yolo26n-pose.pt", steps=200)
    train_yolo("yolo26n-seg", people, folder / "ultralytics" / "yolo26n-seg.pt", steps=40)
    return folder


@pytest.fixture(scope="session")
def sam_file(people: RenderedPeople, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SAM 2.1 that knows the rendered people."""
    pytest.importorskip("ultralytics")
    from trained_sam import train_sam

    path = tmp_path_factory.mktemp("models") / "ultralytics" / "sam2.1_t.pt"
    with pytest.MonkeyPatch.context() as monkeypatch:
        return train_sam(people, path, monkeypatch)
