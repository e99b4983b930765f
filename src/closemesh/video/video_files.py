"""Video files: decoding with true times, rotation and high dynamic range; encoding as H.264 that browsers play."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
import cv2
import numpy as np
from av.container import InputContainer

from closemesh.config.schema import ClipConfig
from closemesh.core.arrays import Floats
from closemesh.core.errors import InputError, OutputError
from closemesh.core.files import atomic_file
from closemesh.structures import Clip
from closemesh.video.focal_metadata import video_focal
from closemesh.video.frame_source import Image, SourceInfo

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import OutputContainer
    from av.video.stream import VideoStream


_SHORTFALL = 0.05  # Fraction of the duration in the header: the last frame may be shown for long.
_PQ_TRANSFER = 16  # SMPTE ST 2084 in ISO/IEC 23091-2.
_BT709 = 1  # ITU-T H.273 code of primaries, transfer and matrix: without it players guess.
_TIME_BASE = Fraction(1, 90_000)  # The clock of MPEG systems; divides 24, 25, 30 and 60 frames per second.


def probe_video(path: Path, config: ClipConfig) -> SourceInfo:
    """Return times, size and focal length of the frames up to `config.end`, which are decoded but not converted.

    A file with damage after the first frame gives a UserWarning. Raises InputError when there is no frame.
    """
    end = np.inf if config.end is None else config.end
    with _opened(path) as container:
        stream = container.streams.video[0]
        step = 1 / float(stream.average_rate or config.fps)
        seconds, size, error = _decoded_times(container, end, step)
        duration = float((stream.duration or 0) * (stream.time_base or 0))
        metadata = {**container.metadata, **stream.metadata}
    if not seconds:
        raise InputError(f"{path}: no frame can be decoded ({error or 'it holds none'}); convert or copy it again")
    if error or seconds[-1] < min(end, duration) - max(_SHORTFALL * duration, 2 * step):
        warnings.warn(f"{path}: damaged after {seconds[-1]:.2f} s; only the frames before are used", stacklevel=3)
    return SourceInfo(np.array(seconds), size, video_focal(path, metadata, size))


def read_video(clip: Clip) -> Iterator[Image]:
    """Yield the frames of the clip, RGB [H, W, 3], upright; fewer when the file can no longer be decoded to the end."""
    wanted = set(clip.frame_indices.tolist())
    last = int(clip.frame_indices[-1])
    try:
        with _opened(clip.path) as container:
            for index, frame in enumerate(container.decode(container.streams.video[0])):
                if index in wanted:
                    yield _upright_rgb(frame, clip.size)
                if index == last:
                    return
    except av.error.FFmpegError:
        return  # The caller counts the frames.


def write_video(frames: Iterable[Image], path: Path, times: Floats, crf: int = 20) -> None:
    """Write RGB frames [H, W, 3] shown at `times` [T] seconds as H.264 in MP4 (yuv420p, index first).

    Odd sizes lose their last row or column, because yuv420p has half the resolution in color. crf: constant rate factor
    of x264, 0..51; a higher one makes a smaller file of lower quality.
    Raises OutputError when the file cannot be written: atomic_file makes it from the OSError of the encoder.
    """
    with atomic_file(path) as part:
        try:
            with av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as container:
                stream = None
                for frame, pts in zip(frames, presentation_ticks(times), strict=True):
                    stream = stream or _add_stream(container, frame, times, crf)
                    container.mux(stream.encode(_video_frame(frame, pts)))
                if stream is None:
                    raise OutputError(f"no frame to write to {path}")
                container.mux(stream.encode(None))
        except av.error.FFmpegError as error:
            raise OSError(error.errno, error.strerror) from error


def write_image(image: Image, path: Path) -> None:
    """Write an RGB image [H, W, 3] as PNG. Raises OutputError when it cannot be written."""
    with atomic_file(path) as part:
        part.write_bytes(_png(image))


def write_images(frames: Iterable[Image], folder: Path) -> None:
    """Write RGB frames [H, W, 3] as `folder`/000000.png and so on. Raises OutputError when they cannot be written."""
    for index, frame in enumerate(frames):
        write_image(frame, folder / f"{index:06d}.png")


def presentation_ticks(times: Floats) -> list[int]:
    """Return strictly increasing ticks of 1/90000 s from the first frame, for `times` [T] in seconds."""
    ticks = np.round((np.asarray(times, dtype=np.float64) - times[:1]) / float(_TIME_BASE)).astype(np.int64)
    rise = np.arange(len(ticks))  # The container refuses two frames at the same time.
    return (np.maximum.accumulate(ticks - rise) + rise).tolist()


def _png(image: Image) -> bytes:
    # Not cv2.imwrite: it cannot open every path on Windows.
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def _opened(path: Path) -> InputContainer:
    """The open file. Raises InputError when it is no video."""
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{path}: not a video that can be read ({reason}); convert it to MP4 or copy it again"
        ) from error
    if not container.streams.video:
        container.close()
        raise InputError(f"{path}: holds no video stream; give a video or a folder of images")
    container.streams.video[0].thread_type = "AUTO"
    return container


def _decoded_times(
    container: InputContainer, end: float, step: float
) -> tuple[list[float], tuple[int, int], str | None]:
    """Seconds from the first frame up to `end`, upright size, and the error that ended the decoding, if any."""
    stream = container.streams.video[0]
    seconds: list[float] = []
    size, first = (0, 0), 0.0
    try:
        for frame in container.decode(stream):
            if not seconds:
                first, size = frame.time or 0.0, _upright_size(frame, float(stream.sample_aspect_ratio or 1) or 1.0)
            now = -1.0 if frame.time is None else frame.time - first
            # A frame without a time stamp, or with a decreasing one, follows the frame before by one step.
            seconds.append(0.0 if not seconds else now if now > seconds[-1] else seconds[-1] + step)
            if seconds[-1] >= end:
                break
    except av.error.FFmpegError as error:
        return seconds, size, error.strerror
    return seconds, size, None


def _quarter_turns(frame: av.VideoFrame) -> int:
    """Counter-clockwise quarter turns of the file's display matrix."""
    return round(frame.rotation / 90) % 4


def _upright_size(frame: av.VideoFrame, pixel_aspect: float) -> tuple[int, int]:
    width, height = round(frame.width * pixel_aspect), frame.height
    return (height, width) if _quarter_turns(frame) % 2 else (width, height)


def _upright_rgb(frame: av.VideoFrame, size: tuple[int, int]) -> Image:
    turns = _quarter_turns(frame)
    width, height = size[::-1] if turns % 2 else size
    rgb = np.asarray(frame.reformat(width=width, height=height, format="rgb24").to_ndarray(), np.uint8)
    if frame.color_trc == _PQ_TRANSFER:
        rgb = _pq_to_sdr()[rgb]
    return np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb


@lru_cache(maxsize=1)
def _pq_to_sdr() -> Image:
    """[256] table from PQ-coded values to gamma 2.2, diffuse white (203 cd/m2, ITU-R BT.2408) at 1."""
    code = np.linspace(0, 1, 256) ** (1 / 78.84375)
    light = 10000 * (np.maximum(code - 0.8359375, 0) / (18.8515625 - 18.6875 * code)) ** (1 / 0.1593017578125)
    return (255 * np.clip(light / 203, 0, 1) ** (1 / 2.2)).round().astype(np.uint8)


def _add_stream(container: OutputContainer, frame: Image, times: Floats, crf: int) -> VideoStream:
    height, width = frame.shape[:2]
    # Without mbtree=0 x264 writes other bytes in every run on processors with AVX-512.
    options = {"preset": "veryfast", "crf": str(crf), "x264-params": "mbtree=0"}
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
    height, width = frame.shape[:2]
    even = np.ascontiguousarray(frame[: height // 2 * 2, : width // 2 * 2])
    encoded = av.VideoFrame.from_ndarray(even, format="rgb24").reformat(format="yuv420p", dst_colorspace="ITU709")
    encoded.pts, encoded.time_base = pts, _TIME_BASE
    return encoded
