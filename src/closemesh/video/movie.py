"""Video files: true presentation times, rotation, non-square pixels, high dynamic range."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import av
import av.error
import numpy as np
from av.container import InputContainer

from closemesh.config import ClipConfig
from closemesh.errors import InputError
from closemesh.scene import Clip
from closemesh.video.source import Image, Source, focal_from_metadata

_FOCAL_KEY = "camera.focal_length.35mm_equivalent"  # Prefixed with com.apple.quicktime in iPhone movies.
_SHORTFALL = 0.05  # Of the promised duration; the last frame may be shown for long.
_PQ_TRANSFER = 16  # SMPTE ST 2084 in ISO/IEC 23091-2.


def scan_movie(path: Path, config: ClipConfig) -> Source:
    """Decode the frames up to `config.end` without converting them. Raises InputError when there are none."""
    end = np.inf if config.end is None else config.end
    with _opened(path) as container:
        stream = container.streams.video[0]
        step = 1 / float(stream.average_rate or config.fps)
        seconds, size, error = _decoded_times(container, end, step)
        promised = float((stream.duration or 0) * (stream.time_base or 0))
        metadata = {**container.metadata, **stream.metadata}
    if not seconds:
        raise InputError(f"{path}: no frame can be decoded ({error or 'it holds none'}); convert or copy it again")
    if error or seconds[-1] < min(end, promised) - max(_SHORTFALL * promised, 2 * step):
        warnings.warn(f"{path}: damaged after {seconds[-1]:.2f} s; only the frames before are used", stacklevel=3)
    return Source(np.array(seconds), size, focal_from_metadata(metadata, _FOCAL_KEY, size))


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
            # Without a time stamp, or with one that runs backwards, a frame follows the one before by one step.
            seconds.append(0.0 if not seconds else now if now > seconds[-1] else seconds[-1] + step)
            if seconds[-1] >= end:
                break
    except av.error.FFmpegError as error:
        return seconds, size, error.strerror
    return seconds, size, None


def read_movie(clip: Clip) -> Iterator[Image]:
    """The frames of the clip, RGB [H, W, 3]; fewer when the file cannot be decoded so far."""
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


def _opened(path: Path) -> InputContainer:
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


def _quarter_turns(frame: av.VideoFrame) -> int:
    """Counter-clockwise quarter turns that the file's display matrix asks for."""
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
