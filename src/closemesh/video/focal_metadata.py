"""The focal length that cameras store in photos (EXIF) and phones in videos (QuickTime keys), with its uncertainty.

Android phones store none in videos. GoPro's field of view is that of a fisheye image, not of a pinhole camera.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from closemesh.video.frame_source import ImageFocal

PHOTO_LOG_STD = 0.03  # Rounded to millimeters; the definition of the equivalent differs between makers.
VIDEO_LOG_STD = 0.10  # Video is cropped for stabilization, by 0 to 25 %.
LENS_LOG_STD = 0.12  # The name of the lens also lacks digital zoom.

_FULL_FRAME_DIAGONAL_MM = 43.27
_PLAUSIBLE_MM = (5.0, 1000.0)  # Of an equivalent for full frame.
_EXIF_EQUIVALENT = "FocalLengthIn35mmFilm"
_EXIF_UNITS_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}  # FocalPlaneResolutionUnit.
_QUICKTIME_EQUIVALENT = "camera.focal_length.35mm_equivalent"  # iPhones put com.apple.quicktime before both.
_QUICKTIME_LENS = "camera.lens_model"
_LENS_MM = re.compile(r"iPhone.* ([\d.]+)mm f/")  # "iPhone 14 Pro back triple camera 6.86mm f/1.78".
_IPHONE_EQUIVALENTS = {
    **{1.54: 13, 1.55: 14, 1.57: 13, 2.22: 14},  # Ultra wide.
    **{2.65: 31, 2.69: 23, 2.71: 23, 2.87: 32},  # Front.
    **{3.99: 28, 4.0: 28, 4.15: 29, 4.2: 26, 4.25: 26, 5.1: 26, 5.7: 26, 5.96: 26, 6.765: 24, 6.86: 24},
    **{6.0: 52, 6.6: 57, 7.5: 65, 9.0: 77, 15.66: 120},  # Tele.
}
"""Focal length of the lens -> equivalent for full frame, millimeters, as in the EXIF of photos of iPhone 6 to 16."""

_MOST_BOXES = 10_000
_MOST_BYTES = 1 << 28  # Of the index of a video: a day of video.
_UTF8, _FLOAT32, _FLOAT64 = 1, 23, 24  # Types of values in QuickTime's metadata.
_INTEGERS = {21, 22, 65, 66, 67, 74, 75, 76, 77, 78}


def photo_focal(metadata: Mapping[str, str], size: tuple[int, int]) -> ImageFocal | None:
    """Return the focal length in EXIF, for an image of this width and height; None if missing or absurd.

    metadata: EXIF as FFmpeg names it, with or without a group such as `ExifIFD/` before the name.
    """
    exif = {name.rsplit("/", 1)[-1]: value for name, value in metadata.items()}
    equivalent = _number(exif.get(_EXIF_EQUIVALENT))
    if equivalent is not None and _PLAUSIBLE_MM[0] < equivalent < _PLAUSIBLE_MM[1]:
        return ImageFocal(equivalent_focal(equivalent, size), PHOTO_LOG_STD)
    lens, resolution = _number(exif.get("FocalLength")), _number(exif.get("FocalPlaneXResolution"))
    unit = _EXIF_UNITS_MM.get(int(_number(exif.get("FocalPlaneResolutionUnit")) or 2))
    if not lens or not resolution or not unit:
        return None
    stored = max(_number(exif.get(f"Pixel{axis}Dimension")) or 0.0 for axis in "XY") or max(size)
    pixels = lens * resolution / unit * max(size) / stored
    return ImageFocal(pixels, PHOTO_LOG_STD) if _is_plausible(pixels, size) else None


def video_focal(path: Path, metadata: Mapping[str, str], size: tuple[int, int]) -> ImageFocal | None:
    """Return the focal length in the metadata of a video of this width and height; None if missing or absurd.

    metadata: of the file and of its stream. They lack the keys of tracks, so those are read from the file at `path`.
    """
    found = {**metadata, **quicktime_keys(path)}
    equivalent = _number(next((value for name, value in found.items() if name.endswith(_QUICKTIME_EQUIVALENT)), None))
    if equivalent is not None and _PLAUSIBLE_MM[0] < equivalent < _PLAUSIBLE_MM[1]:
        return ImageFocal(equivalent_focal(equivalent, size), VIDEO_LOG_STD)
    lens = next((value for name, value in found.items() if name.endswith(_QUICKTIME_LENS)), "")
    named = _LENS_MM.search(lens)
    known = _IPHONE_EQUIVALENTS.get(_number(named[1]) or 0.0) if named else None
    return ImageFocal(equivalent_focal(known, size), LENS_LOG_STD) if known else None


def equivalent_focal(millimeters: float, size: tuple[int, int]) -> float:
    """Return the focal length in pixels for an equivalent in millimeters, which compares diagonals (CIPA DCG-001).

    An image of width and height `size` between 4:3 and 3:2 is the whole sensor; others are cut from a sensor of 4:3.
    """
    long, short = max(size), min(size)
    diagonal = math.hypot(long, short)
    if long < short * 4 / 3:
        diagonal = short * 5 / 3
    elif long > short * 1.52:
        diagonal = long * 5 / 4
    return millimeters / _FULL_FRAME_DIAGONAL_MM * diagonal


def quicktime_keys(path: Path) -> dict[str, str]:
    """Return the keyed metadata of a MOV or MP4 file and of its tracks; FFmpeg leaves out those of tracks.

    Empty for other files, for damaged ones and where there are none.
    """
    try:
        with path.open("rb") as file:
            return dict(_keyed_values(_index_box(file)))
    except (OSError, OverflowError, ValueError, struct.error):
        return {}


def _index_box(file: BinaryIO) -> bytes:
    """Content of the box `moov`."""
    for _ in range(_MOST_BOXES):
        header = file.read(8)
        if len(header) < 8:
            break
        size, kind = struct.unpack(">I4s", header)
        content = size - 8
        if size == 1:
            content = struct.unpack(">Q", file.read(8))[0] - 16
        if kind == b"moov":
            return file.read(min(content, _MOST_BYTES) if size else _MOST_BYTES)  # 0: up to the end of the file.
        if content < 0:
            break
        file.seek(content, 1)
    return b""


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the boxes that follow one another."""
    position = 0
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        if size < 8:
            return
        yield kind, data[position + 8 : position + size]
        position += size


def _keyed_values(data: bytes, in_track: bool = False) -> Iterator[tuple[str, str]]:
    for kind, content in _boxes(data):
        if kind == b"trak" and not in_track:
            yield from _keyed_values(content, in_track=True)
        elif kind == b"meta":
            start = 4 if content[8:12] == b"hdlr" else 0  # MP4 has version and flags before the boxes, QuickTime not.
            parts = dict(_boxes(content[start:]))
            keys = [name.decode() for _, name in _boxes(parts.get(b"keys", b"")[8:])]
            for index, item in _boxes(parts.get(b"ilst", b"")):
                number = int.from_bytes(index, "big")
                value = _value(dict(_boxes(item)).get(b"data", b""))
                if 0 < number <= len(keys) and value:
                    yield keys[number - 1], value


def _value(data: bytes) -> str:
    kind, content = int.from_bytes(data[:4], "big"), data[8:]
    if kind == _UTF8:
        return content.decode()
    if kind in (_FLOAT32, _FLOAT64):
        return str(struct.unpack(">f" if kind == _FLOAT32 else ">d", content)[0])
    return str(int.from_bytes(content, "big", signed=True)) if kind in _INTEGERS else ""


def _number(text: str | None) -> float | None:
    """A number, or a ratio such as 686:100; a unit may follow."""
    found = re.match(r"\s*(\d+(?:\.\d+)?)\s*(?:[:/]\s*(\d+(?:\.\d+)?))?", text or "")
    if found is None:
        return None
    below = float(found[2]) if found[2] else 1.0
    return float(found[1]) / below if below else None


def _is_plausible(pixels: float, size: tuple[int, int]) -> bool:
    millimeters = pixels / math.hypot(*size) * _FULL_FRAME_DIAGONAL_MM
    return _PLAUSIBLE_MM[0] < millimeters < _PLAUSIBLE_MM[1]
