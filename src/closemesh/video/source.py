"""What a file tells about its frames, before any is chosen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

_FULL_FRAME_WIDTH_MM = 36.0


@dataclass(frozen=True)
class Source:
    """Frames of a video file or of a folder of images."""

    times: NDArray[np.float64]
    """[N] presentation times of the frames, seconds from the first, increasing."""
    size: tuple[int, int]
    """Width and height in pixels, upright and with square pixels."""
    focal_px: float | None
    """From the metadata, for this size."""


def focal_from_metadata(metadata: dict[str, str], key: str, size: tuple[int, int]) -> float | None:
    """Focal length in pixels from a 35 mm equivalent whose name ends with `key`; None when it is not there or absurd.

    A full frame is 36 mm wide, and the longer side of the image is its width.
    """
    for name, value in metadata.items():
        if name.endswith(key):
            try:
                millimetres = float(value)
            except ValueError:
                continue
            if 5 < millimetres < 1000:
                return millimetres / _FULL_FRAME_WIDTH_MM * max(size)
    return None
