"""The bundled detector, and damaged model files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from closemesh.core.errors import ModelFileError
from closemesh.perception.detectors.person_detectors import MODEL_NAME
from closemesh.perception.keypoints.topdown import MediaPipeDetector
from closemesh.perception.tracking.similarity import oks
from closemesh.perception.types import Detection


def test_detection_does_not_depend_on_the_size_of_the_image(
    detector: MediaPipeDetector, first_frame: np.ndarray
) -> None:
    large = detector.detect(cv2.resize(first_frame, None, fx=2, fy=2), 384)
    shrunk = [Detection(p.box / 2, p.keypoints * (0.5, 0.5, 1), p.score) for p in large]
    for person in sorted(detector.detect(first_frame, 384), key=lambda p: -p.score)[:2]:
        assert max(oks(person, other) for other in shrunk) > 0.9


def test_a_damaged_model_file_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / MODEL_NAME
    damaged.parent.mkdir()
    damaged.write_bytes(b"half a file")
    monkeypatch.setenv("CLOSEMESH_MODELS", str(tmp_path))
    with pytest.raises(ModelFileError, match=r"movenet_multipose_fp16\.onnx") as caught:
        MediaPipeDetector()
    assert "\n" not in str(caught.value)
