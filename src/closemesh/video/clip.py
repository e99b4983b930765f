"""A clip: opened once to choose its frames, read as often as needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from closemesh.config.schema import ClipConfig
from closemesh.core.errors import InputError
from closemesh.core.foreign import require_regular
from closemesh.structures import Clip
from closemesh.video.frame_source import Image, mean_rate, sample_frames
from closemesh.video.image_folders import (
    OTHER_PHOTO_SUFFIXES,
    image_files,
    is_image_source,
    missing_clip_advice,
    probe_images,
    read_images,
)
from closemesh.video.video_files import probe_video, read_video

MIN_SIDE = 64  # Pixels: people in smaller frames are too small for pose estimation.


def open_clip(path: Path, config: ClipConfig) -> Clip:
    """Return the clip with the frames to process, their times, their size and the focal length of the metadata.

    A video is decoded once without conversion, because frame counts and times in file headers are often wrong.
    Damage after the first frame ends the clip there, with a UserWarning.
    Raises InputError when the file is missing, unreadable, too small, or has no frame between start and end.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; {missing_clip_advice(path)}")
    if not path.is_dir():
        require_regular(path)
    if path.suffix.lower() in OTHER_PHOTO_SUFFIXES and path.is_file():
        raise InputError(f"{path}: photos of this kind cannot be read; save it as JPEG or PNG")
    if config.fps <= 0:
        raise InputError(f"the frame rate must be above 0, not {config.fps:g}; change --fps")
    source = probe_images(path, config) if is_image_source(path) else probe_video(path, config)
    width, height = source.size
    if min(width, height) < MIN_SIDE:
        raise InputError(
            f"{path}: frames of {width}x{height} are too small; each side needs at least {MIN_SIDE} pixels"
        )
    chosen = sample_frames(source.times, config)
    if len(chosen) == 0:
        range_ = f"from {config.start:g} s" + (f" to {config.end:g} s" if config.end is not None else "")
        raise InputError(f"{path}: no frame {range_}; the last is at {source.times[-1]:.2f} s; change --start or --end")
    times = source.times[chosen]
    clip = Clip(path, _sha256(path), chosen, times, source.size, mean_rate(times, config.fps))
    if source.focal is None:
        return clip
    return replace(clip, focal_px=source.focal.pixels, focal_log_std=source.focal.log_std)


def read_frames(clip: Clip) -> Iterator[Image]:
    """Yield the frames of the clip in order, RGB [H, W, 3] in 8 bits, upright.

    Raises InputError when the file has fewer frames than open_clip found.
    """
    count = 0
    for frame in read_images(clip) if is_image_source(clip.path) else read_video(clip):
        count += 1
        yield frame
    if count != len(clip):
        raise InputError(f"{clip.path}: has {count} of {len(clip)} frames; has the file changed? start again")


FileState = tuple[tuple[str, int, int], ...]
"""Name, size and time of change of each file of a clip."""


def clip_state(path: Path) -> FileState:
    """Return what shows, without reading it, that a clip has changed; empty when it is missing."""
    try:
        files = image_files(path) if path.is_dir() else [path]
        return tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    except OSError:
        return ()


def require_unchanged(clip: Clip, state: FileState) -> None:
    """Check that the clip is still the one that was opened in this state.

    Raises InputError when its content has changed: a result of it would mix two clips.
    """
    if clip_state(clip.path) == state:
        return
    if not clip.path.exists() or _sha256(clip.path) != clip.sha256:
        raise InputError(f"{clip.path} was changed or removed while it was read; run the command again")


def _sha256(path: Path) -> str:
    """Hash of the bytes of a file, or of the names and bytes of the images of a folder."""
    digest = hashlib.sha256()
    for file in image_files(path) if path.is_dir() else [path]:
        if path.is_dir():
            digest.update(file.name.encode() + b"\0")
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
