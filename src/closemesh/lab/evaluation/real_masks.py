"""Where people are in the frames of a real clip: masks made by hand or from the background, and drawn bodies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from closemesh.body.model import BodyModel
from closemesh.body.motion import stream_vertices
from closemesh.core.arrays import Bools
from closemesh.core.errors import InputError
from closemesh.lab.evaluation.real_facts import ClipFacts
from closemesh.rendering.zbuffer import render_depth
from closemesh.structures import BodyMotion, Camera, Clip
from closemesh.video import read_frames
from closemesh.video.video_files import Image

_COMPARED = 8  # Frames for which a mask is made from the background.
_MEDIAN_FRAMES = 40  # Frames in the median; more change it little.
_COLOR_DISTANCE = 32  # Largest difference of a channel, 0..255, between the background and noise, shadow excluded.
_SMOOTHING = 9  # Pixels of the median filter that removes single pixels.


@dataclass(frozen=True)
class ReferenceMasks:
    """Pixels of all people together, in some processed frames."""

    source: str
    """Where they come from: `masks`, `static background` or `chroma key`."""
    masks: Mapping[int, Bools]
    """Position among the processed frames -> [H, W] True on people."""


def reference_masks(facts: ClipFacts, masks_folder: Path | None, clip: Clip) -> ReferenceMasks | None:
    """The reference of a clip: the masks of `masks_folder`, else those that the facts allow to make; None without.

    `masks_folder` holds NNNNNN.png by frame of the file, 255 on people. A static background is the median of the
    frames, so people who stay in one place are a part of it. Raises InputError when a mask is damaged, of another size,
    or of a frame that the clip lacks.
    """
    if masks_folder is not None:
        return ReferenceMasks("masks", _read_masks(masks_folder, clip))
    if facts.chroma_key is None and facts.background is None:
        return None
    frames = list(read_frames(clip)) if facts.background else []
    chosen = _evenly(len(clip), _COMPARED)
    if facts.chroma_key is not None:
        key = np.array(facts.chroma_key)
        images = {t: image for t, image in enumerate(read_frames(clip)) if t in chosen}
        return ReferenceMasks("chroma key", {t: _differs(image, key) for t, image in images.items()})
    background = np.median([frames[t] for t in _evenly(len(clip), _MEDIAN_FRAMES)], axis=0)
    return ReferenceMasks("static background", {t: _differs(frames[t], background) for t in chosen})


def _read_masks(folder: Path, clip: Clip) -> dict[int, Bools]:
    masks: dict[int, Bools] = {}
    for path in sorted(folder.glob("*.png")):
        image = _gray(path)
        if image is None or not (path.stem.isascii() and path.stem.isdigit() and len(path.stem) < 10):
            raise InputError(f"{path}: is no mask NNNNNN.png that can be read; replace or remove it")
        if image.shape[1::-1] != clip.size:
            size = "x".join(str(side) for side in image.shape[1::-1])
            raise InputError(f"{path}: is {size}, the clip is {clip.size[0]}x{clip.size[1]}; make it anew")
        position = frame_position(clip, int(path.stem))
        if position is not None:
            masks[position] = image > 127
        elif int(path.stem) > last_frame(clip):
            raise InputError(f"{path}: the last frame of the clip is {last_frame(clip)}; remove the mask")
    return masks


def _gray(path: Path) -> np.ndarray | None:
    """[H, W] of an image; None when it cannot be read."""
    try:
        return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE)
    except (OSError, cv2.error):
        return None


def _evenly(count: int, most: int) -> list[int]:
    return sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()))


def _differs(image: Image, background: np.ndarray) -> Bools:
    """[H, W] True where `image` [H, W, 3] is not of the color of the background [H, W, 3] or [3]."""
    different = np.abs(image.astype(np.float32) - background).max(-1) > _COLOR_DISTANCE
    return cv2.medianBlur(different.astype(np.uint8), _SMOOTHING) > 0


def frame_position(clip: Clip, frame: int) -> int | None:
    """The processed frame nearest to a frame of the file; None when it is further than half a step away."""
    position = int(np.abs(clip.frame_indices - frame).argmin())
    return position if 2 * abs(int(clip.frame_indices[position]) - frame) <= _step(clip) else None


def last_frame(clip: Clip) -> int:
    """The last frame that the file may have: after the last processed one, fewer than a step are left out."""
    return int(clip.frame_indices[-1]) + _step(clip) - 1


def _step(clip: Clip) -> int:
    """Frames of the file from one processed frame to the next."""
    return int(np.diff(clip.frame_indices).max()) if len(clip) > 1 else 1


def body_masks(motion: BodyMotion, camera: Camera, body: BodyModel, positions: Sequence[int]) -> dict[int, Bools]:
    """Position -> [H, W] True where a body of the camera-frame motion is drawn."""
    faces = body.faces.cpu().numpy()
    selected = motion.frames(list(positions))
    masks = {}
    for position, vertices, present in zip(positions, stream_vertices(selected, body), selected.valid, strict=True):
        mask = np.zeros(camera.size[::-1], bool)
        for person in np.flatnonzero(present):
            depth = render_depth(vertices[person], faces, camera.focal, camera.principal_point, camera.size)
            mask |= np.isfinite(depth)
        masks[position] = mask
    return masks


@dataclass(frozen=True)
class Overlap:
    """How two sets of masks agree, percent, means over the frames."""

    iou: float
    """Intersection over union."""
    covered: float
    """Of the pixels of people, those that are covered."""
    inside: float
    """Of the covering pixels, those on people."""


def overlap(covering: Mapping[int, Bools], people: Mapping[int, Bools]) -> Overlap | None:
    """The agreement over the frames of `people` that `covering` has; None without a common frame with people."""
    rows = []
    for position, person in people.items():
        if position in covering and person.any():
            both = (covering[position] & person).sum()
            either = (covering[position] | person).sum()
            rows.append((both / either, both / person.sum(), both / max(covering[position].sum(), 1)))
    return Overlap(*(100 * np.mean(rows, axis=0)).tolist()) if rows else None
