"""YOLOX finds the boxes of people and RTMW their keypoints: a finder without code under the AGPL, on onnxruntime.

Written from mmdetection's configuration of the network (640 x 640, BGR 0..255, suppression in the file) and tested on
a stand-in with the same signature; the real file has not been run here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from closemesh.errors import ModelFileError
from closemesh.observe.detector import NUM_BODY, Detection, Image
from closemesh.observe.letterbox import letterbox
from closemesh.observe.onnx_model import open_onnx
from closemesh.observe.rtmw import Rtmw

_MIN_SCORE = 0.3
_PERSON = 0


class YoloxFinder:
    """Both networks, ready to run. Raises ModelFileError when the file is no YOLOX with suppression."""

    def __init__(self, path: Path, whole_body: Rtmw, device: torch.device) -> None:
        self._session, self._whole_body = open_onnx(path, device), whole_body
        source = self._session.get_inputs()[0]
        outputs = {output.name for output in self._session.get_outputs()}
        if len(source.shape) != 4 or not {"dets", "labels"} <= outputs:
            raise ModelFileError(f"{path}: no YOLOX network: one picture in, dets and labels out; fetch the file again")
        self._input = source.name
        self._side = source.shape[2] if isinstance(source.shape[2], int) else 640

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        """Everybody with a score of at least 0.3. image: RGB [H, W, 3]. The network has one size, whatever is asked."""
        scale = self._side / max(image.shape[:2])
        canvas = letterbox(image, scale, (self._side, self._side))[..., ::-1]
        pixels = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None], np.float32)
        rows, labels = self._session.run(["dets", "labels"], {self._input: pixels})
        found = rows[0][(labels[0] == _PERSON) & (rows[0][:, 4] >= _MIN_SCORE)].astype(float)
        boxes = found[:, :4] / scale
        return [
            Detection(box, self._whole_body.keypoints(image, box)[:NUM_BODY], float(score))
            for box, score in zip(boxes, found[:, 4], strict=True)
        ]
