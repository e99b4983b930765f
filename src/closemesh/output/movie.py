"""Films that a browser plays (H.264, true presentation times) and numbered pictures."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from closemesh.errors import OutputError
from closemesh.files import replacing, replacing_folder
from closemesh.scene import Floats

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import OutputContainer
    from av.video.stream import VideoStream

Image = NDArray[np.uint8]
"""[H, W, 3] RGB."""

_TIME_BASE = Fraction(1, 90_000)  # The clock of MPEG systems; divides 24, 25, 30 and 60 frames a second.
_BT709 = 1  # ITU-T H.273 code of primaries, transfer and matrix; untagged films are guessed at by players.


def write_movie(frames: Iterable[Image], path: Path, times: Floats) -> None:
    """Write RGB frames shown at `times` [T] seconds as H.264 in MP4 (yuv420p, index first).

    Odd sizes lose their last row or column, which yuv420p cannot hold. Raises OutputError when it cannot be written.
    """
    import av
    from av.error import FFmpegError

    with replacing(path) as part:
        try:
            with av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as container:
                stream = None
                for frame, pts in zip(frames, presentation_ticks(times), strict=True):
                    stream = stream or _add_stream(container, frame, times)
                    container.mux(stream.encode(_video_frame(frame, pts)))
                if stream is None:
                    raise OutputError(f"no frame to write to {path}")
                container.mux(stream.encode(None))
        except FFmpegError as error:
            raise OSError(error.errno, error.strerror) from error


def write_pictures(frames: Iterable[Image], folder: Path) -> None:
    """Write RGB frames as `folder`/000000.png and so on. Raises OutputError when they cannot be written."""
    with replacing_folder(folder) as part:
        for index, frame in enumerate(frames):
            if not cv2.imwrite(str(part / f"{index:06d}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)):
                raise OSError(f"picture {index} was refused")


def presentation_ticks(times: Floats) -> list[int]:
    """Strictly rising ticks of 1/90000 s from the first frame on, for `times` [T] in seconds."""
    ticks = np.round((np.asarray(times, dtype=np.float64) - times[:1]) / float(_TIME_BASE)).astype(np.int64)
    rise = np.arange(len(ticks))  # Two frames at the same time would be refused by the container.
    return (np.maximum.accumulate(ticks - rise) + rise).tolist()


def _add_stream(container: OutputContainer, frame: Image, times: Floats) -> VideoStream:
    height, width = frame.shape[:2]
    # x264's macroblock tree gives other bytes in every run on processors with AVX-512.
    options = {"preset": "veryfast", "crf": "20", "x264-params": "mbtree=0"}
    stream = container.add_stream("libx264", rate=_mean_rate(times), options=options)
    stream.width, stream.height, stream.pix_fmt = width // 2 * 2, height // 2 * 2, "yuv420p"
    context = stream.codec_context
    context.time_base = _TIME_BASE
    context.color_primaries = context.color_trc = context.colorspace = _BT709
    return stream


def _mean_rate(times: Floats) -> Fraction:
    """A hint for players; the presentation times decide."""
    duration = float(times[-1] - times[0])
    rate = (len(times) - 1) / duration if duration > 0 else 30.0
    return Fraction(rate).limit_denominator(1001)


def _video_frame(frame: Image, pts: int) -> VideoFrame:
    from av import VideoFrame

    height, width = frame.shape[:2]
    even = np.ascontiguousarray(frame[: height // 2 * 2, : width // 2 * 2])
    picture = VideoFrame.from_ndarray(even, format="rgb24").reformat(format="yuv420p", dst_colorspace="ITU709")
    picture.pts, picture.time_base = pts, _TIME_BASE
    return picture
