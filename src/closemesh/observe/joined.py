"""One detector out of several networks: who finds people, and whose closer look is believed for what.

The rule: boxes and 17 keypoints are the finder's (YOLO pose, YOLOX with RTMW, MoveNet). BlazePose looks closer and
alone gives the 3D cue, a mask and the presence. Where RTMW is there, its 133 keypoints stand in place of BlazePose's in
that look, and the cue is kept only where BlazePose's own keypoints agree with the finder's. Look and finder are then
joined as always (fusion.py): the mean where they agree, the finder where they do not; feet, hands and face only where
the ankle, the wrist or the nose that they hang on agrees.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from closemesh.observe.blazepose import BlazePose
from closemesh.observe.detector import Detection, Image, Refinement
from closemesh.observe.fusion import fuse
from closemesh.observe.rtmw import Rtmw


class Finder(Protocol):
    """Finds people in an image: MoveNet, YoloPose, YoloxFinder."""

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        """Everybody in the image, looked at with its longer side scaled to about `long_side` pixels."""
        ...


class JoinedDetector:
    """A finder, BlazePose and, if given, RTMW behind the Detector protocol."""

    def __init__(self, name: str, finder: Finder, whole_body: Rtmw | None = None) -> None:
        self.name = name
        self._finder, self._whole_body = finder, whole_body
        self._blazepose = BlazePose()

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        return self._finder.detect(image, long_side)

    def refine(self, image: Image, person: Detection) -> Refinement | None:
        look = self._blazepose.refine(image, person)
        if look is None or self._whole_body is None:
            return look
        agreed = fuse(person, look).cue_points
        return replace(look, keypoints=self._whole_body.keypoints(image, person.box), cue_points=agreed)
