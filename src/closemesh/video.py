"""Frames in: video files through PyAV, folders of numbered images through OpenCV."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import av
import av.error
import cv2
import numpy as np
from numpy.typing import NDArray

from closemesh.config import ClipConfig
from closemesh.errors import InputError
from closemesh.scene import Clip

Image = NDArray[np.uint8]

MIN_SIDE = 64  # Pixels; a person in a smaller frame is a few dozen pixels tall and cannot be posed.
IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
_RATE_SLACK = 1.05  # A clip at most this much faster than asked for keeps all its frames.
_FULL_FRAME_WIDTH_MM = 36.0
_MOVIE_FOCAL_KEY = "com.apple.quicktime.camera.focal_length.35mm_equivalent"
_IMAGE_FOCAL_KEY = "FocalLengthIn35mmFilm"
_PQ_TRANSFER = 16  # SMPTE ST 2084 in ISO/IEC 23091-2.


def open_clip(path: Path, config: ClipConfig) -> Clip:
    """Choose the frames to process and read what the file tells about them.

    A video is decoded once without conversion, so that frame count and presentation times are what they really are.
    Damage after the first frame ends the clip there, with a Python warning.
    Raises InputError when the file is missing, unreadable, too small, or has no frame between start and end.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; give a video or a folder of images")
    if config.fps <= 0:
        raise InputError(f"the frame rate must be above 0, not {config.fps:g}; change --fps")
    if _is_image_source(path):
        times, size, focal_px = _scan_images(path, config)
    else:
        times, size, focal_px = _scan_video(path, config)
    if min(size) < MIN_SIDE:
        raise InputError(
            f"{path}: frames of {size[0]}x{size[1]} are too small; at least {MIN_SIDE} pixels a side needed"
        )
    chosen = choose_frames(times, config)
    if len(chosen) == 0:
        raise InputError(f"{path}: no frame {_range_text(config)} of {times[-1]:.2f} s; change --start or --end")
    rate = _mean_rate(times[chosen], config.fps)
    return Clip(path, _sha256(path), chosen, times[chosen], size, rate, focal_px)


def read_frames(clip: Clip) -> Iterator[Image]:
    """The frames of the clip in order, RGB [H, W, 3], upright, one at a time.

    Raises InputError when the file no longer gives the frames that it gave to open_clip.
    """
    count = 0
    source = _read_images(clip) if _is_image_source(clip.path) else _read_video(clip)
    for frame in source:
        count += 1
        yield frame
    if count != len(clip):
        raise InputError(f"{clip.path}: gave {count} of {len(clip)} frames; has the file changed? start again")


def choose_frames(times: NDArray[np.floating], config: ClipConfig) -> NDArray[np.int64]:
    """Indices of the frames nearest to a regular clock of `config.fps` in [start, end), each frame once.

    times: [N] seconds, increasing.
    """
    end = np.inf if config.end is None else config.end
    inside = np.flatnonzero((times >= config.start - 1e-6) & (times < end - 1e-6))
    if len(inside) < 2 or _mean_rate(times[inside], config.fps) <= config.fps * _RATE_SLACK:
        return inside.astype(np.int64)
    seen = times[inside]
    clock = np.arange(seen[0], seen[-1] + 0.5 / config.fps, 1 / config.fps)
    after = np.clip(np.searchsorted(seen, clock), 1, len(seen) - 1)
    nearest = np.where(clock - seen[after - 1] <= seen[after] - clock, after - 1, after)
    return inside[np.unique(nearest)].astype(np.int64)


def _mean_rate(times: NDArray[np.floating], fallback: float) -> float:
    return (len(times) - 1) / float(times[-1] - times[0]) if len(times) > 1 else fallback


def _range_text(config: ClipConfig) -> str:
    return f"from {config.start:g} s" + (f" to {config.end:g} s" if config.end is not None else "")


# Video files.


def _scan_video(path: Path, config: ClipConfig) -> tuple[NDArray[np.float64], tuple[int, int], float | None]:
    """Times [N] of the frames up to `config.end`, upright size, focal length in pixels."""
    times: list[float] = []
    size, focal_mm = (0, 0), None
    try:
        with _open_video(path) as container:
            stream = container.streams.video[0]
            focal_mm = _focal_35mm({**container.metadata, **stream.metadata}, _MOVIE_FOCAL_KEY)
            step = 1 / float(stream.average_rate or config.fps)
            first = None
            for frame in container.decode(stream):
                if first is None:
                    first, size = frame.time or 0.0, _upright_size(frame, _pixel_aspect(stream))
                time = (frame.time - first) if frame.time is not None else -1.0
                # A file without sound timestamps still has its frames in order.
                times.append(time if not times or time > times[-1] else times[-1] + step)
                if config.end is not None and times[-1] >= config.end:
                    break
    except av.error.FFmpegError as error:
        if not times:
            raise InputError(f"{path}: no frame can be decoded ({error.strerror}); convert or copy it again") from error
        _warn_damaged(path, times[-1])
    if not times:
        raise InputError(f"{path}: the video has no frames; convert or copy it again")
    return np.array(times), size, _focal_px(focal_mm, size)


def _read_video(clip: Clip) -> Iterator[Image]:
    wanted = set(clip.frame_indices.tolist())
    last = int(clip.frame_indices[-1])
    try:
        with _open_video(clip.path) as container:
            for index, frame in enumerate(container.decode(container.streams.video[0])):
                if index in wanted:
                    yield _upright_rgb(frame, clip.size)
                if index == last:
                    return
    except av.error.FFmpegError:
        return  # The caller counts the frames.


def _open_video(path: Path) -> av.container.InputContainer:
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: not a video that can be read ({error}); convert it to MP4 or copy it again"
        ) from error
    if not container.streams.video:
        container.close()
        raise InputError(f"{path}: holds no video stream; give a video or a folder of images")
    container.streams.video[0].thread_type = "AUTO"
    return container


def _pixel_aspect(stream: av.VideoStream) -> float:
    return float(stream.sample_aspect_ratio or 1) or 1.0


def _upright_size(frame: av.VideoFrame, pixel_aspect: float) -> tuple[int, int]:
    width, height = round(frame.width * pixel_aspect), frame.height
    return (height, width) if _quarter_turns(frame) % 2 else (width, height)


def _quarter_turns(frame: av.VideoFrame) -> int:
    """Counter-clockwise quarter turns that the file's display matrix asks for."""
    return round(frame.rotation / 90) % 4


def _upright_rgb(frame: av.VideoFrame, size: tuple[int, int]) -> Image:
    turns = _quarter_turns(frame)
    width, height = size[::-1] if turns % 2 else size
    rgb = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
    if frame.color_trc == _PQ_TRANSFER:
        rgb = cv2.LUT(rgb, _pq_to_sdr())
    return np.ascontiguousarray(np.rot90(rgb, turns))


def _pq_to_sdr() -> Image:
    """[256] table from PQ-coded values to sRGB-like ones, diffuse white (203 cd/m2, ITU-R BT.2408) at 1."""
    code = np.linspace(0, 1, 256) ** (1 / 78.84375)
    light = 10000 * (np.maximum(code - 0.8359375, 0) / (18.8515625 - 18.6875 * code)) ** (1 / 0.1593017578125)
    return (255 * np.clip(light / 203, 0, 1) ** (1 / 2.2)).round().astype(np.uint8)


def _warn_damaged(path: Path, seconds: float) -> None:
    warnings.warn(f"{path}: damaged after {seconds:.2f} s; only the frames up to there are used", stacklevel=3)


# Images.


def _is_image_source(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES


def _image_files(path: Path) -> list[Path]:
    """The images of a folder, numbers in the names in numeric order."""
    if not path.is_dir():
        return [path]
    files = [file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.name[0] != "."]
    if not files:
        raise InputError(
            f"{path}: holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}); give a video or another folder"
        )
    return sorted(files, key=_natural_key)


def _natural_key(file: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", file.name)]


def _scan_images(path: Path, config: ClipConfig) -> tuple[NDArray[np.float64], tuple[int, int], float | None]:
    """The same for images, shown at `config.fps`; every image that will be used is decoded once."""
    files = _image_files(path)
    times = np.arange(len(files)) / config.fps
    height, width = _read_image(files[0]).shape[:2]
    for index in choose_frames(times, config):
        h, w = _read_image(files[index]).shape[:2]
        if (w, h) != (width, height):
            raise InputError(f"{files[index]}: {w}x{h}, but {files[0].name} is {width}x{height}; make all one size")
    return times, (width, height), _focal_px(_exif_focal(files[0]), (width, height))


def _read_images(clip: Clip) -> Iterator[Image]:
    files = _image_files(clip.path)
    for index in clip.frame_indices[clip.frame_indices < len(files)]:
        image = _read_image(files[index])
        if image.shape[1::-1] != clip.size:
            return
        yield image


def _read_image(file: Path) -> Image:
    """RGB [H, W, 3] in 8 bits, turned as EXIF asks; grey becomes RGB."""
    image = (
        cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH) if _has_bytes(file) else None
    )
    if image is None:
        raise InputError(f"{file}: not an image that can be read; replace or remove it")
    if image.dtype == np.uint16:
        image = cv2.convertScaleAbs(image, alpha=1 / 257)
    elif image.dtype != np.uint8:
        raise InputError(f"{file}: pixels of type {image.dtype} are not supported; save it with 8 or 16 bits")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def _has_bytes(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0


def _exif_focal(file: Path) -> float | None:
    try:
        with av.open(str(file)) as container:
            return _focal_35mm(next(container.decode(video=0)).metadata, _IMAGE_FOCAL_KEY)
    except (av.error.FFmpegError, StopIteration):
        return None


# Both.


def _focal_35mm(metadata: dict[str, str], key: str) -> float | None:
    """The 35 mm equivalent in millimetres, when the metadata holds a sane one."""
    for name, value in metadata.items():
        if name.endswith(key):
            try:
                millimetres = float(value)
            except ValueError:
                continue
            if 5 < millimetres < 1000:
                return millimetres
    return None


def _focal_px(millimetres: float | None, size: tuple[int, int]) -> float | None:
    return None if millimetres is None else millimetres / _FULL_FRAME_WIDTH_MM * max(size)


def _sha256(path: Path) -> str:
    """Of the bytes of a file; of the names and bytes of the images of a folder."""
    digest = hashlib.sha256()
    for file in _image_files(path) if path.is_dir() else [path]:
        if path.is_dir():
            digest.update(file.name.encode() + b"\0")
        with file.open("rb") as stream:
            while piece := stream.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()
