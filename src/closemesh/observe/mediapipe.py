"""The detector that is always there: MoveNet MultiPose finds, BlazePose looks closer."""

from __future__ import annotations

from closemesh.observe.blazepose import BlazePose
from closemesh.observe.detector import Detection, Image, Refinement
from closemesh.observe.movenet import MoveNet


class MediaPipeDetector:
    """Both networks behind the Detector protocol. Raises ModelFileError when a model file is missing or damaged."""

    name = "mediapipe"

    def __init__(self) -> None:
        self._movenet = MoveNet()
        self._blazepose = BlazePose()

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        return self._movenet.detect(image, long_side)

    def refine(self, image: Image, person: Detection) -> Refinement | None:
        return self._blazepose.refine(image, person)
