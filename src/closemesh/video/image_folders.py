"""Clips that are folders of numbered images, or a single image."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import av
import av.error
import cv2
import numpy as np

from closemesh.config.schema import ClipConfig
from closemesh.core.errors import InputError
from closemesh.structures import Clip
from closemesh.video.focal_metadata import photo_focal
from closemesh.video.frame_source import Image, ImageFocal, SourceInfo, sample_frames

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
OTHER_PHOTO_SUFFIXES = frozenset({".dng", ".heic", ".heif"})
"""Photos that cannot be read."""


def missing_clip_advice(path: Path) -> str:
    """Return what to give in the place of a path that does not exist, by what its name means to other programs."""
    if re.search(r"%\d*d|[*?]", path.name):
        return f"patterns of names are not read, give the folder of the images, {path.parent}"
    if re.match(r"\w+:/", str(path)):
        return "download the video and give its file"
    return "give a video or a folder of images"


def is_image_source(path: Path) -> bool:
    """Return whether `path` is a folder or an image file."""
    return path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES


def image_files(path: Path) -> list[Path]:
    """Return the images of a folder, ordered by the numbers in their names. Raises InputError when there are none."""
    if not path.is_dir():
        return [path]
    files = [file for file in path.iterdir() if _is_image(file, IMAGE_SUFFIXES)]
    if not files:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise InputError(f"{path}: holds no images ({kinds}); give a video or another folder")
    return sorted(files, key=_natural_key)


def photo_files(path: Path) -> list[Path]:
    """Return the photos of a folder in natural order, also those of kinds that cannot be read; or the one photo `path`.

    Folders in it are left out. Raises InputError when there is no photo.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; give a photo or a folder of photos")
    if path.is_dir():
        found = [file for file in path.iterdir() if _is_image(file, IMAGE_SUFFIXES | OTHER_PHOTO_SUFFIXES)]
        return sorted(found, key=_natural_key) or image_files(path)
    if path.suffix.lower() not in IMAGE_SUFFIXES | OTHER_PHOTO_SUFFIXES:
        raise InputError(f"{path}: not a photo; --photos takes a photo or a folder of photos, leave it out for a video")
    return [path]


def probe_images(path: Path, config: ClipConfig) -> SourceInfo:
    """Return times, size and focal length of images at `config.fps` per second; those that are used are decoded once.

    Raises InputError when an image cannot be read or has another size.
    """
    files = image_files(path)
    times = np.arange(len(files)) / config.fps
    height, width = _read(files[0]).shape[:2]
    for index in sample_frames(times, config):
        h, w = _read(files[index]).shape[:2]
        if (w, h) != (width, height):
            raise InputError(
                f"{files[index]}: {w}x{h}, but {files[0].name} is {width}x{height}; make all one size, or give "
                "--photos if they are photos that do not belong together"
            )
    return SourceInfo(times, (width, height), _exif_focal(files[0], (width, height)))


def read_images(clip: Clip) -> Iterator[Image]:
    """Yield the images of the clip, RGB [H, W, 3]; fewer when images were removed or have another size now.

    Raises InputError when no image remains or one cannot be read.
    """
    files = image_files(clip.path)
    for index in clip.frame_indices[clip.frame_indices < len(files)]:
        image = _read(files[index])
        if image.shape[1::-1] != clip.size:
            return
        yield image


def _is_image(file: Path, suffixes: frozenset[str]) -> bool:
    return file.suffix.lower() in suffixes and file.name[0] != "." and file.is_file()


def _natural_key(file: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", file.name)]


def _read(file: Path) -> Image:
    """RGB [H, W, 3] in 8 bits, rotated by EXIF; gray becomes RGB."""
    try:
        # Not cv2.imread: it cannot open every path on Windows.
        image = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except (OSError, cv2.error):
        image = None
    if image is None:
        raise InputError(f"{file}: not an image that can be read; replace or remove it")
    if image.dtype == np.uint16:
        image = cv2.convertScaleAbs(image, alpha=1 / 257)
    if image.dtype != np.uint8:
        raise InputError(f"{file}: pixels of type {image.dtype} are not supported; save it with 8 or 16 bits")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _exif_focal(file: Path, size: tuple[int, int]) -> ImageFocal | None:
    try:
        with av.open(str(file)) as container:
            return photo_focal(next(container.decode(video=0)).metadata, size)
    except (av.error.FFmpegError, StopIteration):
        return None
