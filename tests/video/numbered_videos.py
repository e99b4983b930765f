"""Videos whose frames show their own numbers, and whose red corner shows which way is up."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT = 128, 96


def numbered_image(index: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray:
    """RGB: gray of level 8 * index, with a red top left quarter."""
    width, height = size
    image = np.full((height, width, 3), 8 * index, np.uint8)
    image[: height // 2, : width // 2] = (255, 0, 0)
    return image


def number_of(frame: np.ndarray) -> int:
    """The index that numbered_image was given, read in the bottom right corner."""
    return round(float(frame[-16:, -16:].mean()) / 8)


def write_numbered_video(
    path: Path,
    milliseconds: list[int],
    size: tuple[int, int] = (WIDTH, HEIGHT),
    pixel_format: str = "yuv420p",
    muxer_options: dict[str, str] | None = None,
    **codec: object,
) -> Path:
    """H.264 with a numbered frame at each of these times; further names are attributes of the codec context."""
    with av.open(str(path), "w", options=muxer_options or {}) as container:
        stream = container.add_stream("libx264", rate=1000, options={"crf": "10", "g": "8"})
        stream.width, stream.height, stream.pix_fmt = *size, pixel_format
        stream.time_base = Fraction(1, 1000)
        for name, value in codec.items():
            setattr(stream.codec_context, name, value)
        for index, time in enumerate(milliseconds):
            frame = av.VideoFrame.from_ndarray(numbered_image(index, size), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
