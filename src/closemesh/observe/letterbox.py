"""Pictures brought to the size that a network takes, and the way back."""

from __future__ import annotations

import cv2
import numpy as np

from closemesh.observe.detector import Image
from closemesh.scene import Floats

_GREY = 114  # What YOLO, YOLOX and SAM were trained to see around a picture.


def letterbox(image: Image, scale: float, size: tuple[int, int]) -> Image:
    """image [h, w, 3] times `scale` in the upper left corner of a grey picture of this size (width, height)."""
    width, height = (
        min(most, max(1, round(side * scale))) for side, most in zip(image.shape[1::-1], size, strict=True)
    )
    canvas = np.full((size[1], size[0], 3), _GREY, np.uint8)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas[:height, :width] = cv2.resize(image, (width, height), interpolation=interpolation)
    return canvas


def rounded_up(image: Image, scale: float, stride: int) -> tuple[int, int]:
    """Width and height of the image times `scale`, each rounded up to a multiple of `stride`."""
    width, height = (-(-max(1, round(side * scale)) // stride) * stride for side in image.shape[1::-1])
    return width, height


def T_image_cells(cell: float, scale: float) -> Floats:
    """[2, 3] from cells of a map to the image; a cell is `cell` pixels of the image times `scale` wide.

    Centres fall on centres: cell 0 covers the first cell / scale pixels.
    """
    wide = cell / scale
    return np.array([[wide, 0, (wide - 1) / 2], [0, wide, (wide - 1) / 2]])
